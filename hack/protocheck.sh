#!/bin/bash
# hack/protocheck.sh: checks that cri/api/api.proto is, but for its words, the CRI that Kubernetes publishes.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
root=$(readlink -f "$(dirname "$0")/..")
bin=$("$root/hack/tools.sh")
(cd "$root/hack/tools/protocheck" && GOFLAGS=-mod=readonly "$root/hack/go.sh" test ./...)
descriptors=$(mktemp)
trap 'rm -f "$descriptors"' EXIT
protoc -I"$root/cri/api" --include_imports --descriptor_set_out="$descriptors" api.proto
"$bin/protocheck" "$descriptors"
