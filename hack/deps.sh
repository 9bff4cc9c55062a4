#!/bin/bash
# hack/deps.sh [vm|cluster]: installs, on Debian 12 and as root, every package that building and testing crisp
# takes. Asks dpkg first: where all is there it returns at once and without a network. Starts no service.
#
#   vm        also what hack/vm.sh takes
#   cluster   also what hack/cluster.sh takes
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
. "$(dirname "$0")/lib/packages.sh"
answer_help "$@"

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
  '') ;;
  vm) extra=(cpio e2fsprogs kmod mmdebstrap qemu-system-x86) ;;
  cluster) extra=(dbus-daemon etcd-server) ;;
  *) bad_usage "$1?" ;;
esac

mapfile -t missing < <(missing_packages "${libraries[@]}" "${build[@]}" "${test[@]}" "${extra[@]}")
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

install_packages "${missing[@]}"

# Nor does a service start at the next boot.
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
