#!/bin/bash
# Builds the Kubernetes that hack/cluster.sh runs into build/tools/kubernetes/bin: kubelet,
# kube-apiserver, kube-scheduler, kube-controller-manager and kubectl, as published, in the version
# that hack/tools/kubernetes/go.mod pins. Prints that directory. Returns at once when they are there;
# a first build downloads some 60 MB of modules and keeps two cores busy for ten to twenty minutes.
#
# hack/kubernetes.sh tests: also e2e_node.test, the node's tests of that Kubernetes, and agnhost, which
# is in their images; some five minutes more.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
module=$root/hack/tools/kubernetes
bin=$root/build/tools/kubernetes/bin
programs=(kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet)
mkdir -p "$bin"
exec 9>"$root/build/tools/kubernetes/lock"
flock 9

version=$(sed -n 's|^require k8s.io/kubernetes \(v[0-9.]*\)$|\1|p' "$module/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
ldflags='-s -w'
# client-go's copy names the version in the user agent, component-base's in `--version`.
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  ldflags+=" -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
done

sources=$(cat "$module/go.mod" "$module/go.sum")

# build_if_changed NAME COMMAND...: runs `go COMMAND...` unless NAME was built from the same.
build_if_changed() {
  local name=$1 stamp started=$SECONDS
  shift
  stamp=$(echo "$* $sources" | sha256sum)
  [[ $(cat "$bin/.$name.stamp" 2>/dev/null) != "$stamp" ]] || return 0
  echo "kubernetes: building $name $version" >&2
  rm -f "$bin/.$name.stamp"
  (cd "$module" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath" "$root/hack/go.sh" "$@")
  echo "kubernetes: $name built in $((SECONDS - started)) s" >&2
  echo "$stamp" >"$bin/.$name.stamp"
}

build_if_changed programs build -ldflags "$ldflags" -o "$bin/" "${programs[@]/#/k8s.io/kubernetes/cmd/}"
if [[ ${1:-} == tests ]]; then
  build_if_changed e2e_node.test test -c -ldflags "$ldflags" -o "$bin/e2e_node.test" k8s.io/kubernetes/test/e2e_node
  build_if_changed agnhost build -ldflags "$ldflags" -o "$bin/agnhost" k8s.io/kubernetes/test/images/agnhost
fi
echo "$bin"
