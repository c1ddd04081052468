#!/usr/bin/env bash
# Builds the Debian packages of the services with cargo-deb. See --help.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: packaging/build.sh [--programs DIR] [--revision N] [--output DIR] [SERVICE...]

Writes OUTPUT/SERVICE_VERSION-N_ARCHITECTURE.deb for each service (rates, messages, transfer, multivac), and a tarball of
the same programs, manual pages and completions.

--programs DIR   take the built programs from here (target/release)
--revision N     the package's revision (1)
--output DIR     where to write (target/dist)

A package runs on the Debian release that its programs were built on, and on newer ones.
USAGE
}

programs=target/release revision=1 output=target/dist
while [[ ${1:-} == -* ]]; do
  case $1 in
    --programs) programs=$2 && shift 2 ;;
    --revision) revision=$2 && shift 2 ;;
    --output) output=$2 && shift 2 ;;
    --help) usage && exit ;;
    *) usage >&2 && exit 64 ;;
  esac
done
[[ $# -gt 0 ]] || set -- rates messages transfer multivac

cd "$(dirname "$0")/.."
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
# Of the commit, so that the same commit makes the same package.
date=$(git log -1 --format=%cD 2>/dev/null || date -R)
mkdir -p "$output"
for name in "$@"; do
  staging=target/packages/$name
  rm -rf "$staging" && mkdir -p "$staging/man"
  strip --strip-unneeded -o "$staging/$name" "$programs/$name"
  "$staging/$name" man "$staging/man"
  gzip -9n "$staging"/man/*
  for shell in bash zsh fish; do
    "$staging/$name" completions "$shell" >"$staging/$shell"
  done
  cat >"$staging/changelog" <<CHANGELOG
$name ($version-$revision) stable; urgency=medium

  * See CHANGELOG.md of the project.

 -- The rates platform contributors <maintainers@example.com>  $date
CHANGELOG
  cargo deb --quiet --no-build --locked --package "$name" --deb-revision "$revision" --output "$output"
  tar -C "$staging" --sort=name --owner=0 --group=0 --mtime="$date" --exclude=changelog \
    --transform "s,^\.,$name-$version," -czf "$output/$name-$version-$(dpkg --print-architecture).tar.gz" .
done
