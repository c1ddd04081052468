#!/usr/bin/env bash
# release_notes.sh vX.Y.Z: prints the section X.Y.Z of CHANGELOG.md. Fails if there is none, or if Cargo.toml has another
# version.
set -euo pipefail

cd "$(dirname "$0")/.."
version=${1#v}
grep -qxF "version = \"$version\"" Cargo.toml || { echo "Cargo.toml does not have the version $version" >&2 && exit 1; }
notes=$(awk -v heading="## $version" '/^## / { inside = ($0 == heading); next } inside' CHANGELOG.md)
[[ $notes == *[![:space:]]* ]] || { echo "CHANGELOG.md has no section $version" >&2 && exit 1; }
printf '%s\n' "$notes"
