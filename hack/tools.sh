#!/bin/bash
# hack/tools.sh: builds the Go programs that the tests use into build/tools/bin: crictl, critest and ginkgo from
# the versions that hack/tools/go.mod pins, and our own protocheck, mkimage and logind. Prints that directory.
# Returns at once when nothing it builds from has changed.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
. "$root/hack/lib/stamps.sh"
. "$root/hack/lib/usage.sh"
answer_help "$@"
bin=$root/build/tools/bin
mkdir -p "$bin"
exec 9>"$root/build/tools/lock"
flock 9

tools=$root/hack/tools
version=$(sed -n 's|.*sigs.k8s.io/cri-tools \(v[0-9.]*\).*|\1|p' "$tools/go.mod" | head -1)
ldflags="-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=$version"
go_program crictl "$tools" build -ldflags "$ldflags" -o "$bin/crictl" sigs.k8s.io/cri-tools/cmd/crictl
go_program critest "$tools" test -c -ldflags "$ldflags" -o "$bin/critest" sigs.k8s.io/cri-tools/cmd/critest
go_program ginkgo "$tools" build -ldflags "-s -w" -o "$bin/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
for program in protocheck mkimage logind; do
  go_program "$program" "$tools/$program" build -ldflags "-s -w" -o "$bin/$program" .
done
echo "$bin"
