#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: build_push_docker_image.sh REPOSITORY [options]

Builds a service's image, pushes it to REPOSITORY and prints REPOSITORY@DIGEST on standard output; everything else goes
to standard error. If the tag already exists in the registry, nothing is built or pushed.

  REPOSITORY        repository without a tag: 123456789012.dkr.ecr.eu-north-1.amazonaws.com/rates, ghcr.io/me/rates
  --service NAME    service to build, a member of the workspace (default: rates)
  --tag TAG         tag (default: the commit; with --dump also the dump's checksum)
  --platform P      platform to build for: linux/arm64, or linux/amd64,linux/arm64
  --dump FILE       add a plain dump, gzipped or not, to the image as /dump.sql, for a task that runs
                    `load --if-empty /dump.sql` in the database's network
  --allow-dirty     build even if the working tree differs from the commit; the tag ends in -dirty and the time
  -h, --help        print this text

The login is kept in a temporary Docker configuration, which is removed at the end:
  Amazon ECR        the AWS command line, with the credentials it finds
  other registries  REGISTRY_USER and REGISTRY_PASSWORD if set, else your existing `docker login`
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
      [[ -z $repository ]] || wrong_usage "give only one REPOSITORY, not also $1"
      repository=$1
      ;;
  esac
  shift
done
[[ -n $repository ]] || wrong_usage "REPOSITORY is missing"
registry=${repository%%/*}
[[ $repository =~ ^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$ && $registry == *[.:]* || $repository == localhost/* ]] ||
  wrong_usage "$repository must be REGISTRY/NAME, in lower case and without a tag"
[[ $service =~ ^[a-z][a-z0-9_-]*$ ]] || wrong_usage "$service is not a valid service name"
[[ $tag != latest ]] || wrong_usage "the tag latest identifies no build; give another, or none to use the commit"
[[ -z $tag || $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || wrong_usage "$tag is not a valid tag"

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
  # Only five bytes: those after them may be NUL, which a shell variable cannot contain.
  [[ $(head -c 5 "$dump") != PGDMP ]] ||
    die "$dump is in pg_dump's custom format; convert it: pg_restore -f - '$dump' | gzip >dump.sql.gz"
  dump=$(realpath "$dump")
fi

cd "$(dirname "${BASH_SOURCE[0]}")"
[[ -f $service/Cargo.toml ]] || die "the workspace has no service $service"
revision=$(git rev-parse --short=12 HEAD) || die "not a git clone: the tag is the commit"
if [[ -n $(git status --porcelain) ]]; then
  [[ -n $allow_dirty ]] || die "the working tree differs from commit $revision; commit first, or use --allow-dirty"
  revision=$revision-dirty
fi
commit_tag=$revision
# The time distinguishes several dirty trees of one commit.
[[ $revision != *-dirty ]] || commit_tag=$revision-$(date -u +%Y%m%dT%H%M%SZ)
if [[ -n $dump ]]; then
  dump_tag=${tag:-$commit_tag-dump-$(sha256sum "$dump" | head -c 12)}
  tag=$commit_tag
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

log_in() { # USER, password on standard input
  # A temporary configuration, because Docker would write the password into the user's own. Docker must still find the
  # rest of that one: plugins, builders and the selected engine.
  local own=${DOCKER_CONFIG:-$HOME/.docker}
  DOCKER_HOST=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}
  BUILDX_CONFIG=${BUILDX_CONFIG:-$own/buildx}
  DOCKER_CONFIG=$scratch/docker
  mkdir "$DOCKER_CONFIG"
  [[ ! -d $own/cli-plugins ]] || ln -s "$own/cli-plugins" "$DOCKER_CONFIG/cli-plugins"
  export DOCKER_HOST BUILDX_CONFIG DOCKER_CONFIG
  local answer
  # Hides Docker's warning about an unencrypted password: the file is temporary.
  answer=$(docker login --username "$1" --password-stdin "$registry" 2>&1) ||
    die "$registry rejects the login of $1: $answer"
}

if [[ -n $ecr_region ]]; then
  password=$(aws ecr get-login-password --region "$ecr_region") ||
    die "the AWS command line returned no password for $registry; check with: aws sts get-caller-identity"
  log_in AWS <<<"$password"
elif [[ -n ${REGISTRY_USER-} ]]; then
  [[ -n ${REGISTRY_PASSWORD-} ]] || die "REGISTRY_USER is set but REGISTRY_PASSWORD is not"
  log_in "$REGISTRY_USER" <<<"$REGISTRY_PASSWORD"
fi

# Prints the digest of the image in the registry; fails if it does not exist. (`print`, because some versions ignore a
# template that begins with `.Manifest`.)
digest_of() {
  docker buildx imagetools inspect "$1" --format '{{print .Manifest.Digest}}'
}

# Builds and pushes an image unless it exists; sets `digest`.
put() { # TAG BUILD-OPTIONS...
  local image=$repository:$1
  shift
  if digest=$(digest_of "$image" 2>&1); then
    say "$image already exists"
  elif [[ $digest != *"not found"* && $digest != *"manifest unknown"* && $digest != *"name unknown"* ]]; then
    die "cannot look up $image in $registry: $digest"
  else
    say "building $image"
    # Without attestations: they would wrap a single image in an index with a second digest.
    docker buildx build --provenance=false --push --tag "$image" ${platform:+--platform "$platform"} "$@" >&2
    digest=$(digest_of "$image") || die "pushed $image, but $registry does not have it"
  fi
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "expected a digest for $image from $registry, got: $digest"
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
put "${tag:-$commit_tag}" --build-arg "SERVICE=$service" --build-arg "GIT_REVISION=$revision" \
  --build-arg "VERSION=$version" .
if [[ -n $dump ]]; then
  # Built on the service's image in the registry, so that any builder can do it and a new dump compiles nothing.
  mkdir "$scratch/dump"
  cp "$dump" "$scratch/dump/dump.sql"
  put "$dump_tag" --file docker/with-dump.Dockerfile --build-arg "SERVICE_IMAGE=$repository@$digest" "$scratch/dump"
fi
printf '%s@%s\n' "$repository" "$digest"
