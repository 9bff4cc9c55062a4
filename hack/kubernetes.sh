#!/bin/bash
# hack/kubernetes.sh [tests|conformance|images]: builds the Kubernetes that hack/cluster.sh runs into
# build/tools/kubernetes/bin: kubelet, kube-apiserver, kube-scheduler, kube-controller-manager and kubectl, as
# published, in the version that hack/tools/kubernetes/go.mod pins. Prints that directory. Returns at once when
# they are there. A first build downloads some 60 MB of modules and keeps two cores busy for ten to twenty minutes.
#
#   tests         also e2e_node.test, the node's tests of that Kubernetes; some five minutes more
#   conformance   also e2e.test, the cluster's tests, kube-proxy and coredns; as long again
#   images        also agnhost and sample-apiserver, which are in the images of both
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
. "$root/hack/lib/stamps.sh"
. "$root/hack/lib/usage.sh"
answer_help "$@"
case ${1:-} in '' | tests | conformance | images) ;; *) bad_usage "$1?" ;; esac
module=$root/hack/tools/kubernetes
bin=$root/build/tools/kubernetes/bin
programs=(kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet)
mkdir -p "$bin"
exec 9>"$root/build/tools/kubernetes/lock"
flock 9

version=$(sed -n 's|^\(require\)\?[[:space:]]*k8s.io/kubernetes \(v[0-9.]*\)$|\2|p' "$module/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
ldflags='-s -w'
# client-go's copy names the version in the user agent, component-base's in `--version`.
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  ldflags+=" -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
done

go_program programs "$module" build -ldflags "$ldflags" -o "$bin/" "${programs[@]/#/k8s.io/kubernetes/cmd/}"
program() { go_program "$1" "$module" build -ldflags "$ldflags" -o "$bin/$1" "$2"; }
suite() { go_program "$1" "$module" test -c -ldflags "$ldflags" -o "$bin/$1" "$2"; }
case ${1:-} in
  tests) suite e2e_node.test k8s.io/kubernetes/test/e2e_node ;;
  conformance)
    suite e2e.test k8s.io/kubernetes/test/e2e
    program kube-proxy k8s.io/kubernetes/cmd/kube-proxy
    module=$root/hack/tools/coredns
    program coredns crisp/hack/tools/coredns
    ;;
  images)
    program agnhost k8s.io/kubernetes/test/images/agnhost
    program sample-apiserver k8s.io/sample-apiserver
    ;;
esac
echo "$bin"
