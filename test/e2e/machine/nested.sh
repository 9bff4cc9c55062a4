#!/bin/bash
# A crispd of its own, in whatever container this is; prints the memory limit that its container sees.
set -uo pipefail
exec 2>&1  # in the order of what is said
cd "$(dirname "$0")/../../.." || exit
. hack/lib/image.sh
. hack/lib/daemon.sh
image=crisp.test/busybox:latest work=$(mktemp -d)
make_busybox_tar "$work/busybox.tar" "$image" >/dev/null && start_daemon || exit 1
trap 'stop_daemon >&2; rm -rf "$work"' EXIT
"$CRISP_BIN/crisp" --address "unix://$CRISP_SOCKET" images import "$work/busybox.tar" >/dev/null || exit 1
jq -n '{metadata: {name: "n", namespace: "nested", uid: "n"}, linux: {security_context: {namespace_options: {network: 2}}}}' >"$work/pod.json"
jq -n --arg image "$image" '{metadata: {name: "n"}, image: {image: $image}, command: ["sleep", "1000"],
  linux: {resources: {memory_limit_in_bytes: 33554432}}}' >"$work/container.json"
pod=$(crictl runp "$work/pod.json") && container=$(crictl create "$pod" "$work/container.json" "$work/pod.json") &&
  crictl start "$container" >/dev/null && crictl exec -s "$container" cat /sys/fs/cgroup/memory.max
