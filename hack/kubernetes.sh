#!/bin/bash
# Builds the Kubernetes that hack/cluster.sh runs into build/tools/kubernetes/bin: kubelet,
# kube-apiserver, kube-scheduler, kube-controller-manager and kubectl, as published, in the version
# that hack/tools/kubernetes/go.mod pins. Prints that directory. Returns at once when they are there;
# a first build downloads some 60 MB of modules and keeps two cores busy for ten to twenty minutes.
#
# hack/kubernetes.sh tests: also e2e_node.test, the node's tests of that Kubernetes; some five minutes more.
# hack/kubernetes.sh conformance: also e2e.test, the cluster's tests, kube-proxy and coredns; as long again.
# hack/kubernetes.sh images: also agnhost and sample-apiserver, which are in the images of both.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
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

# build_if_changed NAME COMMAND...: runs `go COMMAND...` in $module unless NAME was built from the same.
build_if_changed() {
  local name=$1 stamp started=$SECONDS
  shift
  stamp=$({ echo "$*"; cat "$module"/{go.mod,go.sum,*.go}; } | sha256sum)
  [[ $(cat "$bin/.$name.stamp" 2>/dev/null) != "$stamp" ]] || return 0
  echo "kubernetes: building $name" >&2
  rm -f "$bin/.$name.stamp"
  (cd "$module" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath" "$root/hack/go.sh" "$@")
  echo "kubernetes: $name built in $((SECONDS - started)) s" >&2
  echo "$stamp" >"$bin/.$name.stamp"
}

build_if_changed programs build -ldflags "$ldflags" -o "$bin/" "${programs[@]/#/k8s.io/kubernetes/cmd/}"
program() { build_if_changed "$1" build -ldflags "$ldflags" -o "$bin/$1" "$2"; }
suite() { build_if_changed "$1" test -c -ldflags "$ldflags" -o "$bin/$1" "$2"; }
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
