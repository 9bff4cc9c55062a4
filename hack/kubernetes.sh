#!/bin/bash
# Builds the Kubernetes that hack/cluster.sh runs into build/tools/kubernetes/bin: kubelet,
# kube-apiserver, kube-scheduler, kube-controller-manager and kubectl, as published, in the version
# that hack/tools/kubernetes/go.mod pins. Prints that directory. Returns at once when they are there;
# a first build downloads some 60 MB of modules and keeps two cores busy for ten to twenty minutes.
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

stamp=$({ echo "$ldflags ${programs[*]}"; cat "$module/go.mod" "$module/go.sum"; } | sha256sum)
if [[ $(cat "$bin/.stamp" 2>/dev/null) != "$stamp" ]]; then
  echo "kubernetes: building $version" >&2
  rm -f "$bin/.stamp"
  started=$SECONDS
  (cd "$module" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath" "$root/hack/go.sh" build \
    -ldflags "$ldflags" -o "$bin/" "${programs[@]/#/k8s.io/kubernetes/cmd/}")
  echo "kubernetes: built in $((SECONDS - started)) s" >&2
  echo "$stamp" >"$bin/.stamp"
fi
echo "$bin"
