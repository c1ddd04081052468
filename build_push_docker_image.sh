#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: build_push_docker_image.sh REPOSITORY [options]

Builds the image of a service, pushes it to REPOSITORY and prints what was pushed, as REPOSITORY@DIGEST, on standard
output; all else goes to standard error. An image whose tag is there already is neither built nor pushed again.

  REPOSITORY        where to, without a tag: 123456789012.dkr.ecr.eu-north-1.amazonaws.com/rates, ghcr.io/me/rates
  --service NAME    which member of the workspace (rates)
  --tag TAG         the tag (the commit; with --dump also the dump's checksum)
  --platform P      build for another platform: linux/arm64, or linux/amd64,linux/arm64
  --dump FILE       put a plain dump, gzipped or not, into the image as /dump.sql, so that a one-off task next to the
                    database can run `load --if-empty /dump.sql`
  --allow-dirty     build although the working tree differs from the commit; the tag ends in -dirty and the time
  -h, --help        this text

The registry's login goes to a docker configuration of its own, which is gone at the end:
  Amazon ECR        by the AWS command line, with whatever credentials that finds
  other registries  REGISTRY_USER and REGISTRY_PASSWORD, if set; else what `docker login` has kept for you
USAGE
}

say() { printf '%s\n' "$*" >&2; }
die() {
  say "build_push_docker_image.sh: $*"
  exit 1
}
wrong_usage() {
  say "build_push_docker_image.sh: $*"
  usage >&2
  exit 64
}

repository='' service=rates tag='' platform='' dump='' allow_dirty=''
while (($#)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --allow-dirty) allow_dirty=yes ;;
    --service | --tag | --platform | --dump)
      [[ -n ${2-} ]] || wrong_usage "$1 needs a value"
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    -*) wrong_usage "unknown option $1" ;;
    *)
      [[ -z $repository ]] || wrong_usage "one REPOSITORY, not also $1"
      repository=$1
      ;;
  esac
  shift
done
[[ -n $repository ]] || wrong_usage "which REPOSITORY?"
registry=${repository%%/*}
[[ $repository =~ ^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$ && $registry == *[.:]* || $repository == localhost/* ]] ||
  wrong_usage "$repository is not like REGISTRY/NAME, in lower case and without a tag"
[[ $service =~ ^[a-z][a-z0-9_-]*$ ]] || wrong_usage "$service is not the name of a service"
[[ $tag != latest ]] || wrong_usage "latest says nothing about what it holds; give another tag, or none for the commit's"
[[ -z $tag || $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || wrong_usage "$tag is not a tag"

needed=(docker git)
[[ ! $registry =~ ^[0-9]{12}\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$ ]] || needed+=(aws)
ecr_region=${BASH_REMATCH[2]-}
[[ -z $dump ]] || needed+=(sha256sum)
for program in "${needed[@]}"; do
  command -v "$program" >/dev/null || die "needs $program, which is not on the PATH"
done
docker buildx version >/dev/null 2>&1 || die "needs docker's buildx plugin; see https://docs.docker.com/build/install-buildx/"

if [[ -n $dump ]]; then
  [[ -f $dump && -r $dump ]] || die "cannot read $dump"
  # `head` stops before zeros, which a variable cannot hold.
  [[ $(head -c 5 "$dump") != PGDMP ]] ||
    die "$dump is in pg_dump's custom format; make a plain one: pg_restore -f - '$dump' | gzip >dump.sql.gz"
  dump=$(realpath "$dump")
fi

cd "$(dirname "${BASH_SOURCE[0]}")"
[[ -f $service/Cargo.toml ]] || die "there is no service $service here"
revision=$(git rev-parse --short=12 HEAD) || die "the tag comes from git; run this in a clone"
if [[ -n $(git status --porcelain) ]]; then
  [[ -n $allow_dirty ]] || die "the working tree differs from commit $revision; commit first, or give --allow-dirty"
  revision=$revision-dirty
fi
commit_tag=$revision
# Two dirty trees of one commit differ, so the tag must, too.
[[ $revision != *-dirty ]] || commit_tag=$revision-$(date -u +%Y%m%dT%H%M%SZ)
if [[ -n $dump ]]; then
  dump_tag=${tag:-$commit_tag-dump-$(sha256sum "$dump" | head -c 12)}
  tag=$commit_tag
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

log_in() { # USER, password on standard input
  # Docker would write the password into the configuration of the person who runs this. What else is in there must
  # still be found: plugins, builders, and the engine that was chosen.
  local own=${DOCKER_CONFIG:-$HOME/.docker}
  DOCKER_HOST=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}
  BUILDX_CONFIG=${BUILDX_CONFIG:-$own/buildx}
  DOCKER_CONFIG=$scratch/docker
  mkdir "$DOCKER_CONFIG"
  [[ ! -d $own/cli-plugins ]] || ln -s "$own/cli-plugins" "$DOCKER_CONFIG/cli-plugins"
  export DOCKER_HOST BUILDX_CONFIG DOCKER_CONFIG
  local answer
  # Docker warns that the password is not encrypted in the file that is gone in a minute.
  answer=$(docker login --username "$1" --password-stdin "$registry" 2>&1) ||
    die "$registry refuses the login of $1: $answer"
}

if [[ -n $ecr_region ]]; then
  password=$(aws ecr get-login-password --region "$ecr_region") ||
    die "the AWS command line gives no password for $registry; check with: aws sts get-caller-identity"
  log_in AWS <<<"$password"
elif [[ -n ${REGISTRY_USER-} ]]; then
  [[ -n ${REGISTRY_PASSWORD-} ]] || die "REGISTRY_USER is set, REGISTRY_PASSWORD is not"
  log_in "$REGISTRY_USER" <<<"$REGISTRY_PASSWORD"
fi

# The digest of the image in the registry; fails if it is not there. (`print`, since a template that begins with
# `.Manifest` is not heeded by every version.)
digest_of() {
  docker buildx imagetools inspect "$1" --format '{{print .Manifest.Digest}}'
}

# Builds and pushes an image unless it is there; sets its digest.
put() { # TAG BUILD-OPTIONS...
  local image=$repository:$1
  shift
  if digest=$(digest_of "$image" 2>&1); then
    say "$image is there already"
  elif [[ $digest != *"not found"* && $digest != *"manifest unknown"* && $digest != *"name unknown"* ]]; then
    die "cannot ask $registry for $image: $digest"
  else
    say "building $image"
    # Attestations would make an index of a single image, and that is one digest more to tell apart.
    docker buildx build --provenance=false --push --tag "$image" ${platform:+--platform "$platform"} "$@" >&2
    digest=$(digest_of "$image") || die "pushed $image, but $registry does not know it"
  fi
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "$registry gives no digest for $image, but: $digest"
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
put "${tag:-$commit_tag}" --build-arg "SERVICE=$service" --build-arg "GIT_REVISION=$revision" \
  --build-arg "VERSION=$version" .
if [[ -n $dump ]]; then
  # On top of the service's image from the registry: so any builder can do it, and nothing is compiled for a new dump.
  mkdir "$scratch/dump"
  cp "$dump" "$scratch/dump/dump.sql"
  put "$dump_tag" --file docker/with-dump.Dockerfile --build-arg "SERVICE_IMAGE=$repository@$digest" "$scratch/dump"
fi
printf '%s@%s\n' "$repository" "$digest"
