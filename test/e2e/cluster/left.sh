#!/bin/bash
# Deletes every pod of the cluster, and prints what is left of them: pods in crispd, folders of the
# kubelet, cgroups. Fails when there is something.
. "$(dirname "$0")/lib.sh"
kubectl delete pods -A --all --wait=false >/dev/null
kubectl get namespaces -o name | grep -vE '/(default|kube-.*|left)$' | xargs -r kubectl delete --wait=false >/dev/null
none() { [[ -z $(crictl pods -q) && -z $(pod_cgroups) && -z $(ls "$CRISP_CLUSTER_DIR/kubelet/pods") ]]; }
cgroup=$(sed -n 's/^cgroupRoot: //p' "$CRISP_CLUSTER_DIR/kubelet.yaml")
pod_cgroups() { find /sys/fs/cgroup -type d -path "*$cgroup/kubepods/*" -name 'pod*' 2>/dev/null; }
if ! eventually 120 none; then
  crictl pods
  pod_cgroups
  ls -d "$CRISP_CLUSTER_DIR"/kubelet/pods/*
  failed=1
fi
rm -rf "$scratch"
exit "$failed"
