#!/bin/bash
# hack/bench/peers.sh: installs and builds what crisp is measured beside, into build/bench/peers, and
# prints that folder. Returns at once when nothing has changed.
#
# From Debian, as they are: containerd with its runc, crun, the CNI plugins, and what speeds an unpack
# up (igzip, pigz). From the Go module proxy, at the versions that hack/bench/peers/go.mod pins: the
# newest containerd, runc and CNI plugins.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/../..")
out=$root/build/bench/peers
. "$root/hack/lib/packages.sh"
. "$root/hack/lib/stamps.sh"
. "$root/hack/lib/usage.sh"
answer_help "$@"

packages=(containerd containernetworking-plugins crun docker-registry isal jq libseccomp-dev pigz pkg-config runc)
mapfile -t missing < <(missing_packages "${packages[@]}")
[[ ${#missing[@]} == 0 ]] || install_packages "${missing[@]}"

cd "$root/hack/bench/peers"
version() { sed -n "s|^\t$1 \(v[^ ]*\).*|\1|p" go.mod | head -1; }
# build OUT PACKAGE [FLAG...], stripped as distributions ship them.
build() {
  echo "peers: building $1" >&2
  "$root/hack/go.sh" build -mod=readonly -trimpath "${@:3}" -o "$out/$1" "$2"
}

build_all() {
  local containerd=github.com/containerd/containerd/v2 runc=github.com/opencontainers/runc
  local plugins=github.com/containernetworking/plugins flags program plugin
  mkdir -p "$out/cni"
  flags="-s -w -X $containerd/version.Version=$(version $containerd)"
  for program in containerd ctr containerd-shim-runc-v2; do
    CGO_ENABLED=0 build "$program" "$containerd/cmd/$program" -ldflags "$flags" \
      -tags "no_btrfs no_devmapper no_zfs"
  done
  CGO_ENABLED=1 build runc $runc -ldflags "-s -w -X main.version=$(version $runc)" \
    -tags "seccomp urfave_cli_no_docs"
  for plugin in main/bridge main/loopback ipam/host-local meta/portmap; do
    CGO_ENABLED=0 build "cni/${plugin#*/}" "$plugins/plugins/$plugin" \
      -ldflags "-s -w -X $plugins/pkg/utils/buildversion.BuildVersion=$(version $plugins)"
  done
}

make_once "$out" "$(cat go.mod go.sum "$root/hack/bench/peers.sh" | sha256sum)" build_all
echo "$out"
