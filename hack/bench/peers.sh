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
mkdir -p "$out/cni"
exec 9>"$out/lock"
flock 9

packages=(containerd containernetworking-plugins crun docker-registry isal jq libseccomp-dev pigz pkg-config runc)
missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || missing+=("$package")
done
# Nothing that comes with a service may start it.
policy=/usr/sbin/policy-rc.d
if [[ ${#missing[@]} -gt 0 ]]; then
  echo "peers: installing ${missing[*]}" >&2
  if [[ ! -e $policy ]]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; }
fi

# What the images are made with.
(cd "$root/hack/tools/mkimage" && CGO_ENABLED=0 "$root/hack/go.sh" build -mod=readonly -trimpath -o "$out/mkimage" .)

cd "$root/hack/bench/peers"
stamp=$(cat go.mod go.sum "$root/hack/bench/peers.sh" | sha256sum)
if [[ $(cat "$out/stamp" 2>/dev/null) == "$stamp" ]]; then
  echo "$out"
  exit 0
fi

version() { sed -n "s|^\t$1 \(v[^ ]*\).*|\1|p" go.mod | head -1; }
# build OUT PACKAGE [FLAG...], stripped as distributions ship them.
build() {
  echo "peers: building $1" >&2
  "$root/hack/go.sh" build -mod=readonly -trimpath "${@:3}" -o "$out/$1" "$2"
}

containerd=github.com/containerd/containerd/v2
runc=github.com/opencontainers/runc
plugins=github.com/containernetworking/plugins
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
echo "$stamp" >"$out/stamp"
echo "$out"
