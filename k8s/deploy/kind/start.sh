#!/usr/bin/env bash
# jobrelay on a cluster in containers, of kind or k3d, with NATS and KEDA, and a request that runs there:
#   start.sh          make the cluster `jobrelay`, or go on with the one that is there
#   start.sh delete   remove it
# CLUSTER=kind or k3d where both are installed; KEDA=off leaves KEDA out. Your kubeconfig stays as it is: the cluster's
# is .jobrelay/kind/kubeconfig.
set -euo pipefail
cd "$(dirname "$0")/../../.."

name=jobrelay
keda_version=2.20.2
keda=${KEDA:-on}
kubeconfig=$PWD/.jobrelay/kind/kubeconfig
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
request=events/examples/single.yaml

say() { printf '\n==> %s\n' "$*"; }
fail() { printf 'make kind: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null; }
random() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

tools() {
  local missing=()
  cluster=${CLUSTER:-$(has kind || ! has k3d && echo kind || echo k3d)}
  [[ $cluster == kind || $cluster == k3d ]] || fail "CLUSTER is kind or k3d, not $cluster"
  [[ $keda == on || $keda == off ]] || fail "KEDA is on or off, not $keda"
  has "$cluster" || missing+=("$([[ -n ${CLUSTER:-} ]] && echo "$cluster" || echo "kind or k3d")")
  for tool in docker kubectl; do has "$tool" || missing+=("$tool"); done
  local named=${missing[*]/%/,}
  [[ -z $named ]] || fail "missing: ${named%,}. Where to get them: \"On your machine\" in k8s/README.md"
  docker info >/dev/null 2>&1 || fail "no Docker answers: start it, or name one in DOCKER_HOST"
}

exists() {
  case $cluster in
    kind) kind get clusters 2>/dev/null | grep -qx "$name" ;;
    k3d) k3d cluster list "$name" >/dev/null 2>&1 ;;
  esac
}

create() {
  case $cluster in
    kind) kind create cluster --name "$name" --kubeconfig "$kubeconfig" --wait 180s ;;
    k3d) k3d cluster create "$name" --kubeconfig-update-default=false --wait --timeout 180s ;;
  esac || fail "$cluster could not make the cluster: what it says is above. Remove what is left with: make kind-delete"
}

credentials() {
  case $cluster in
    kind) kind get kubeconfig --name "$name" ;;
    k3d) k3d kubeconfig get "$name" ;;
  esac >"$kubeconfig"
}

load() {
  case $cluster in
    kind) kind load docker-image --name "$name" "$1" ;;
    k3d) k3d image import --cluster "$name" "$1" ;;
  esac
}

delete() {
  case $cluster in
    kind) kind delete cluster --name "$name" --kubeconfig "$kubeconfig" ;;
    k3d) k3d cluster delete "$name" ;;
  esac
  rm -rf "$(dirname "$kubeconfig")"
}

# ready NAMESPACE WORKLOAD...: until each is rolled out, five minutes each: images may have to be pulled.
ready() {
  local namespace=$1
  for workload in "${@:2}"; do
    kubectl -n "$namespace" rollout status "$workload" --timeout 300s && continue
    kubectl -n "$namespace" get pods >&2 || true
    kubectl -n "$namespace" get events --sort-by=.lastTimestamp 2>&1 | tail -n 15 >&2 || true
    fail "$workload in $namespace is not ready after five minutes: see the pods and events above, and
  KUBECONFIG=$kubeconfig kubectl -n $namespace logs $workload --all-containers"
  done
}

start() {
  say "Cluster $name ($cluster)"
  mkdir -p "$(dirname "$kubeconfig")"
  if exists; then echo "is there already"; else create; fi
  credentials
  export KUBECONFIG=$kubeconfig

  say "Image jobrelay:$version"
  IMAGE=jobrelay k8s/deploy/image.sh load
  load "jobrelay:$version"

  say "NATS, with JetStream on a volume"
  kubectl apply -k k8s/deploy/kind/nats
  ready nats statefulset/nats

  local installed=plain
  if [[ $keda == on ]]; then
    say "KEDA $keda_version (KEDA=off leaves it out)"
    # Server-side: its CRDs are too large for the annotation of a client's apply.
    kubectl apply --server-side -f "https://github.com/kedacore/keda/releases/download/v$keda_version/keda-$keda_version.yaml"
    ready keda deployment/keda-admission deployment/keda-metrics-apiserver deployment/keda-operator
    installed=keda
  fi

  say "jobrelay"
  kubectl apply -f k8s/deploy/base/namespace.yaml
  kubectl -n jobrelay get secret jobrelay-page >/dev/null 2>&1 ||
    kubectl -n jobrelay create secret generic jobrelay-page --from-literal=token="$(random)" --from-literal=key="$(random)"
  local former
  former=$(kubectl -n jobrelay get deployment -o name)
  kubectl apply -k "k8s/deploy/kind/$installed"
  # They do not notice that the image is another one by the same name.
  [[ -z $former ]] || kubectl -n jobrelay rollout restart deployment
  ready jobrelay deployment/jobrelay-controller deployment/jobrelay-handler deployment/jobrelay-console
  # The youngest: another one may be on its way out.
  local pod
  pod=$(kubectl -n jobrelay get pods -l app.kubernetes.io/component=controller \
    --sort-by=.metadata.creationTimestamp -o name | tail -n 1)
  kubectl -n jobrelay exec "$pod" -- jobrelay check --connect

  say "A request: $request"
  kubectl -n jobrelay exec -i "$pod" -- \
    timeout 300 jobrelay submit - --id "demo-$(date +%s)" --watch <"$request" ||
    fail "the request did not succeed: its events are above. KUBECONFIG=$kubeconfig kubectl -n jobrelay get jobs,pods,events"

  cat <<END

The page: http://localhost:8081, with the token that the second command prints:
  export KUBECONFIG=$kubeconfig
  kubectl -n jobrelay get secret jobrelay-page -o jsonpath='{.data.token}' | base64 -d; echo
  kubectl -n jobrelay port-forward service/jobrelay-console 8081:80
More requests:
  kubectl -n jobrelay exec -i deployment/jobrelay-controller -- jobrelay submit - --watch <events/examples/indexed.yaml
Remove it all: make kind-delete
END
}

tools
case ${1:-start} in
  start | delete) "${1:-start}" ;;
  *) fail "start or delete, not $1" ;;
esac
