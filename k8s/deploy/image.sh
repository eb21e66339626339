#!/usr/bin/env bash
# Build the image, and try it: image.sh            for each of PLATFORMS, with SBOM and provenance, to dist/jobrelay-VERSION.oci.tar
#                          PUSH=1 image.sh          the same, to the registry that IMAGE names
#                          image.sh load            for this machine alone, into its Docker, which keeps no attestations
# IMAGE (jobrelay) is its name, PYTHON_IMAGE the base, PYTHON_DIGEST the base's digest: by default what its registry says
# now. Each image says which it was (org.opencontainers.image.base.digest): with that, the build can be repeated.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "image: $*" >&2; }
fail() { say "$@"; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
image=${IMAGE:-jobrelay}
base=${PYTHON_IMAGE:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' k8s/deploy/Dockerfile)}
platforms=${PLATFORMS:-linux/amd64,linux/arm64}
builder=${BUILDER:-jobrelay}

command -v docker >/dev/null || fail "docker is missing. See \"The image\" in k8s/README.md"
docker buildx version >/dev/null 2>&1 || fail "docker has no buildx: install its plugin. See \"The image\" in k8s/README.md"
docker info >/dev/null 2>&1 || fail "no Docker answers: start it, or name one in DOCKER_HOST"

digest=${PYTHON_DIGEST:-$(docker buildx imagetools inspect "$base" --format '{{.Manifest.Digest}}')}
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "PYTHON_DIGEST has to be sha256: and 64 hex digits, not '$digest'"
say "on $base@$digest"

# What is not committed is no revision: it says so. An unpacked sdist has none, and its files have the date of its release.
revision=()
if commit=$(git describe --always --abbrev=40 --dirty --exclude '*' 2>/dev/null); then
  revision=(--label "org.opencontainers.image.revision=$commit")
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
else
  SOURCE_DATE_EPOCH=$(date -r pyproject.toml +%s)
fi
# For BuildKit: the image's date, and the latest of what is in its layers.
export SOURCE_DATE_EPOCH

build() {
  docker buildx build --builder "$builder" --file k8s/deploy/Dockerfile \
    --build-arg PYTHON_IMAGE="$base" --build-arg PYTHON_DIGEST="$digest" \
    "${revision[@]}" "$@" .
}

# As Kubernetes runs it: nobody's user, nothing to write to, no capabilities; and no network.
try() {
  docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges "$image:$version" "$@"
}

# Docker's own builder has neither attestations nor several platforms.
docker buildx inspect "$builder" >/dev/null 2>&1 || docker buildx create --name "$builder" --driver docker-container >/dev/null

build --provenance=false --sbom=false --load --tag "$image:$version"
try --version
try check --broker nats://broker:4222 >/dev/null
container=$(docker create "$image:$version")
trap 'docker rm "$container" >/dev/null' EXIT
unpacked=$(docker export "$container" | wc -c)
packed=$(docker export "$container" | gzip | wc -c)
say "$image:$version is in Docker, and works: $((unpacked / 1000000)) MB, compressed $((packed / 1000000)) MB"
[[ ${1:-} != load ]] || exit 0

attested=(--platform "$platforms" --sbom=true --provenance=mode=max)
if [[ -n ${PUSH:-} ]]; then
  build "${attested[@]}" --output "type=image,name=$image:$version,push=true,rewrite-timestamp=true"
  say "pushed. Deploy it by its digest: $(docker buildx imagetools inspect "$image:$version" --format '{{.Manifest.Digest}}')"
else
  mkdir -p dist
  build "${attested[@]}" --tag "$image:$version" --output "type=oci,dest=dist/jobrelay-$version.oci.tar,rewrite-timestamp=true"
  say "dist/jobrelay-$version.oci.tar has $platforms, SBOM and provenance"
fi
