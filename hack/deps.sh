#!/bin/bash
# Installs, on Debian 12 and as root, every package that building and testing crisp takes.
# Asks dpkg first: where all is there it returns at once and without a network. Starts no service.
# `hack/deps.sh vm` adds what hack/vm.sh takes, `hack/deps.sh cluster` what hack/cluster.sh does.
set -euo pipefail

# What cmake/dependencies.cmake looks for.
libraries=(
  libabsl-dev libarchive-dev libboost-dev libboost-system-dev libcap-dev libcli11-dev
  libcurl4-openssl-dev libgmock-dev libgrpc++-dev libgtest-dev libisal-dev libmnl-dev
  libnftables-dev libprotobuf-dev libseccomp-dev libselinux1-dev
  libspdlog-dev
  libsqlite3-dev libssl-dev libsystemd-dev libtomlplusplus-dev libyaml-cpp-dev libzstd-dev
  nlohmann-json3-dev prometheus-cpp-dev zlib1g-dev
)
# Compilers and what drives them. Debian's Go only fetches the newer one (hack/go.sh).
build=(
  ca-certificates ccache clang-14 clang-format-14 cmake g++ git libclang-rt-14-dev lld-14 make mold musl-tools
  ninja-build pkg-config protobuf-compiler protobuf-compiler-grpc shellcheck
)
# What the tests talk to, and what the test images are made of.
test=(
  apache2-utils attr bind9-dnsutils busybox-static bzip2 containernetworking-plugins curl docker-registry dpkg-dev
  erofs-utils iproute2 iptables jq libcap2-bin netcat-openbsd nftables nginx-light openssl procps prometheus
  python3 util-linux xz-utils zstd
)
extra=()
case ${1:-} in
  vm) extra=(cpio e2fsprogs kmod mmdebstrap qemu-system-x86) ;;
  cluster) extra=(dbus-daemon etcd-server) ;;
esac

missing=()
for package in "${libraries[@]}" "${build[@]}" "${test[@]}" "${extra[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $status == ii* ]] || missing+=("$package")
done
# Any Go since 1.19 will do; a machine may have its own.
if ! command -v go >/dev/null && [[ ! -x /usr/local/go/bin/go ]]; then
  missing+=(golang-go)
fi
if [[ ${#missing[@]} == 0 ]]; then
  exit 0
fi
if [[ $EUID != 0 ]]; then
  echo "deps: not root, and these packages are missing: ${missing[*]}" >&2
  exit 1
fi

# Nothing that comes with a service may start it, now or at the next boot.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
fi

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0)
echo "deps: installing ${missing[*]}"
if ! "${install[@]}" "${missing[@]}" >/dev/null 2>&1; then
  apt-get update -qq
  "${install[@]}" "${missing[@]}"
fi

for package in "${missing[@]}"; do
  case $package in
    nginx-light) service=nginx ;;
    docker-registry) service=docker-registry ;;
    etcd-server) service=etcd ;;
    *) continue ;;
  esac
  if [[ -d /run/systemd/system ]]; then
    systemctl --quiet disable "$service" || true
  else
    update-rc.d "$service" disable >/dev/null 2>&1 || true
  fi
done
