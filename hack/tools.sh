#!/bin/bash
# Builds the Go programs that the tests use into build/tools/bin: crictl, critest and ginkgo from the
# versions that hack/tools/go.mod pins, and our own protocheck, mkimage and logind. Prints that directory.
# Returns at once when nothing it builds from has changed.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
bin=$root/build/tools/bin
mkdir -p "$bin"
exec 9>"$root/build/tools/lock"
flock 9

# build_if_changed NAME FOLDER COMMAND...: runs COMMAND in FOLDER unless NAME was built from the same.
build_if_changed() {
  local name=$1 folder=$2
  shift 2
  local stamp
  stamp=$(cd "$folder" && { echo "$*"; find . -maxdepth 1 -type f | sort | xargs sha256sum; } | sha256sum)
  if [[ -x $bin/$name && $(cat "$bin/.$name" 2>/dev/null) == "$stamp" ]]; then return; fi
  echo "tools: building $name" >&2
  (cd "$folder" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath" "$root/hack/go.sh" "$@")
  echo "$stamp" >"$bin/.$name"
}

tools=$root/hack/tools
version=$(sed -n 's|.*sigs.k8s.io/cri-tools \(v[0-9.]*\).*|\1|p' "$tools/go.mod" | head -1)
ldflags="-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=$version"
build_if_changed crictl "$tools" build -ldflags "$ldflags" -o "$bin/crictl" sigs.k8s.io/cri-tools/cmd/crictl
build_if_changed critest "$tools" test -c -ldflags "$ldflags" -o "$bin/critest" sigs.k8s.io/cri-tools/cmd/critest
build_if_changed ginkgo "$tools" build -ldflags "-s -w" -o "$bin/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
for program in protocheck mkimage logind; do
  build_if_changed "$program" "$tools/$program" build -ldflags "-s -w" -o "$bin/$program" .
done
echo "$bin"
