# Sourced by the tests of this folder, which run.sh starts when its cluster is up. Each test has the
# Kubernetes namespace of its name and says what it does in lines that begin with "- ". It ends with
# `finish`, which fails it when a check did, and otherwise deletes all that it made.
set -uo pipefail
root=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../../..")
theme=$(basename "$0" .sh)
busybox=crisp.test/test/busybox:1
web=crisp.test/test/web:1
factor=${CRISP_TEST_TIME_FACTOR:-1}  # how slow the machine is
scratch=$(mktemp -d "${TMPDIR:-/tmp}/crisp-cluster-test.XXXXXXXX")
failed=0

cluster() { "$root/hack/cluster.sh" "$@"; }
# kubectl is the cluster's, in this test's namespace, also for those that find it by PATH.
export PATH=$root/build/tools/kubernetes/bin:$PATH KUBECONFIG=$scratch/kubeconfig
sed "s/context: {/context: {namespace: $theme, /" "$CRISP_CLUSTER_DIR/admin.kubeconfig" >"$KUBECONFIG"
crictl() {
  "$root/build/tools/bin/crictl" --config /dev/null --runtime-endpoint "unix://$CRISP_CLUSTER_DIR/run/crisp.sock" \
    --timeout 30s "$@"
}
# The same over the operator's socket.
operator() {
  local socket=unix://$CRISP_CLUSTER_DIR/run/operator.sock
  "$root/build/tools/bin/crictl" --config /dev/null --runtime-endpoint "$socket" --image-endpoint "$socket" --timeout 60s "$@"
}
# operator_pod NAME ANNOTATION COMMAND...: runs a pod with one container and, unless it is empty, that annotation set to
# "true". Prints the pod's id.
operator_pod() {
  local name=$1 annotation=$2 id
  shift 2
  jq -n --arg name "$name" --arg logs "$scratch/$name" --arg annotation "$annotation" '{metadata: {name: $name,
    namespace: "operator", uid: $name}, log_directory: $logs,
    annotations: (if $annotation == "" then {} else {($annotation): "true"} end)}' >"$scratch/$name.json"
  jq -n --arg image "$busybox" '{metadata: {name: "c"}, image: {image: $image}, log_path: "c.log",
    command: $ARGS.positional}' --args -- "$@" >"$scratch/$name.c.json"
  id=$(operator runp "$scratch/$name.json") || return 1
  echo "$id"
  operator start "$(operator create "$id" "$scratch/$name.c.json" "$scratch/$name.json")" >/dev/null
}
# listed crictl|operator POD: that socket shows it.
listed() { "$1" pods -q --no-trunc | grep -x "$2" >/dev/null; } # no -q: crictl is to write all
# operators_lives POD WHEN: it runs, its container is the first one, and the kubelet's socket does not show it.
operators_lives() {
  same "running containers of the operator's pod after $2" "$(operator ps -q --pod "$1" --state running | wc -l)" 1
  same "containers of the operator's pod after $2" "$(operator ps -a -q --pod "$1" | wc -l)" 1
  listed operator "$1" || fail "the operator's socket lacks its pod after $2"
  ! listed crictl "$1" || fail "the kubelet's socket shows the operator's pod after $2"
}

fail() { echo "FAILED: $*"; failed=1; }
same() { [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"; }
matches() { [[ $2 =~ $3 ]] || fail "$1: got '$2', want something like '$3'"; }

# eventually SECONDS COMMAND...: until it succeeds, or returns 1.
eventually() {
  local deadline=$((SECONDS + $1 * factor))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.3
  done
}

# field OBJECT JQ: of the object as JSON.
field() { kubectl get "$1" -o json | jq -r "$2"; }
# becomes SECONDS OBJECT JQ VALUE: fails the test when it does not.
becomes() {
  is() { [[ $(field "$1" "$2") == "$3" ]]; }
  eventually "$1" is "$2" "$3" "$4" || fail "$2 of $1 $3 is '$(field "$2" "$3")' after $1 s, want '$4'"
}
ready() { kubectl wait --for=condition=Ready --timeout="$((${2:-120} * factor))s" "pod/$1" >/dev/null || { fail "$1 is not ready"; explain "$1"; }; }
# succeeded POD: it has run to its end.
succeeded() {
  kubectl wait --for=jsonpath='{.status.phase}'=Succeeded --timeout="$((${2:-120} * factor))s" "pod/$1" >/dev/null ||
    { fail "$1 has not succeeded"; explain "$1"; }
}
explain() {
  kubectl get "pod/$1" -o json | jq -c '.status | {phase, reason, message, containerStatuses}'
  kubectl get events --field-selector "involvedObject.name=$1" -o custom-columns=:.reason,:.message --no-headers | tail -5
}
has_image() { crictl images -o json | jq -e --arg n "$1" '.images[] | select(.repoTags[]? == $n)'; }
lacks_image() { ! has_image "$1"; }
# configure: the kubelet starts again with the keys of standard input on top; `unconfigure` without them.
kubelet_conf=$CRISP_CLUSTER_DIR/kubelet.conf.d/theme.conf
restart_kubelet() { cluster stop kubelet; cluster start kubelet || fail "the kubelet does not start"; }
configure() {
  { printf 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n'; cat; } >"$kubelet_conf"
  restart_kubelet
}
unconfigure() { rm -f "$kubelet_conf"; restart_kubelet; }
inside() { kubectl exec "$1" -- "${@:2}"; }
# shell POD SCRIPT: in its first container.
shell() { kubectl exec "$1" -- sh -c "$2"; }
# apply: what is on standard input; again when the API server is too slow, as it is in an emulated machine.
apply() {
  cat >"$scratch/applied"
  kubectl apply -f "$scratch/applied" >/dev/null || kubectl apply -f "$scratch/applied" >/dev/null || fail "apply"
}
# sleeper NAME IMAGE COMMAND ", MORE: FIELDS": a pod of one container that is never restarted, as YAML.
sleeper() { printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {terminationGracePeriodSeconds: 1, restartPolicy: Never, containers: [{name: c, image: %s, command: %s%s}]}\n' "$@"; }
# deployment NAME REPLICAS: whose pods have the spec of standard input and end within a second.
deployment() {
  {
    cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 1
YAML
    sed 's/^/      /'
  } | apply
}
# rolled DEPLOYMENT [SECONDS]: it is as its spec says.
rolled() {
  kubectl rollout status "deployment/$1" --timeout="$((${2:-180} * factor))s" >/dev/null ||
    fail "$1 is not rolled out: $(kubectl get pods | awk 'NR > 1 {print $3}' | sort | uniq -c)"
}

finish() {
  if [[ $failed == 0 ]]; then
    kubectl delete namespace "$theme" --wait=false >/dev/null
    echo passed
  fi
  rm -rf "$scratch"
  exit "$failed"
}

kubectl get namespace "$theme" >/dev/null 2>&1 || kubectl create namespace "$theme" >/dev/null
kubectl wait --for=create serviceaccount/default --timeout="$((60 * factor))s" >/dev/null || fail "no service account"
