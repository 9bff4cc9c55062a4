#!/bin/bash
# configMap, secret, emptyDir on disk and in memory, hostPath, projected, downward API, image and
# persistent volumes, sub-paths, propagation between containers.
. "$(dirname "$0")/lib.sh"

# hostPath volumes are of this folder.
host=$CRISP_CLUSTER_DIR/host-path
mkdir -p "$host/folder"
echo "from the host" >"$host/folder/file"

apply <<YAML
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, shape: round}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData: {password: opensesame}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: crisp-cluster-disk}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: by-hand
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: $host/disk, type: DirectoryOrCreate}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], storageClassName: by-hand, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: all, labels: {colour: green}, annotations: {note: "seen from inside"}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 4000}
  volumes:
  - {name: config, configMap: {name: settings}}
  - {name: secret, secret: {secretName: hidden, defaultMode: 0400}}
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: folder, hostPath: {path: $host/folder, type: Directory}}
  - {name: file, hostPath: {path: $host/folder/file, type: File}}
  - {name: claim, persistentVolumeClaim: {claimName: disk}}
  - {name: image, image: {reference: "crisp.test/test/volume:1", pullPolicy: IfNotPresent}}
  - name: projected
    projected:
      sources:
      - configMap: {name: settings, items: [{key: shape, path: deep/shape}]}
      - secret: {name: hidden}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
      - serviceAccountToken: {path: token, audience: test, expirationSeconds: 3600}
  - name: downward
    downwardAPI:
      items:
      - {path: note, fieldRef: {fieldPath: "metadata.annotations['note']"}}
      - {path: memory, resourceFieldRef: {containerName: c, resource: limits.memory, divisor: 1Mi}}
  containers:
  - name: c
    image: $busybox
    command: [sleep, "1000"]
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    env:
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: hidden, key: password}}}
    volumeMounts:
    - {name: config, mountPath: /config}
    - {name: config, mountPath: /etc/colour, subPath: colour}
    - {name: secret, mountPath: /secret, readOnly: true}
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /by-name, subPathExpr: "of-\$(POD_NAME)/below"}
    - {name: memory, mountPath: /memory}
    - {name: folder, mountPath: /folder}
    - {name: folder, mountPath: /folder-read-only, readOnly: true, recursiveReadOnly: IfPossible}
    - {name: file, mountPath: /etc/file}
    - {name: claim, mountPath: /claim}
    - {name: image, mountPath: /image}
    - {name: image, mountPath: /image-part, subPath: volume}
    - {name: projected, mountPath: /projected}
    - {name: downward, mountPath: /downward}
---
apiVersion: v1
kind: Pod
metadata: {name: shared}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: mounts, hostPath: {path: $host/mounts, type: DirectoryOrCreate}}]
  containers:
  - name: mounter
    image: $busybox
    securityContext: {privileged: true}
    command: [sh, -c, "mkdir -p /mounts/of-pod && mount -t tmpfs pod /mounts/of-pod && echo seen >/mounts/of-pod/file && exec sleep 1000"]
    lifecycle: {preStop: {exec: {command: [umount, /mounts/of-pod]}}}
    volumeMounts: [{name: mounts, mountPath: /mounts, mountPropagation: Bidirectional}]
  - name: reader
    image: $busybox
    command: [sleep, "1000"]
    volumeMounts: [{name: mounts, mountPath: /mounts, mountPropagation: HostToContainer}]
YAML
ready all
ready shared

# One exec for all that is read, line by line.
inside all sh -c '
  echo "config=$(cat /config/colour /config/shape | tr "\n" " ")"
  echo "sub-path=$(cat /etc/colour)"
  echo "secret=$(cat /secret/password) $(stat -L -c %a:%g /secret/password)"
  echo "fsgroup=$(stat -c %g /disk) $(stat -c %g /memory)"
  echo one >/disk/file; echo two >/by-name/file
  echo "expression=$(cat /disk/of-all/below/file)"
  echo "memory=$(grep " /memory " /proc/mounts | cut -d" " -f3) $(df -k /memory | awk "END {print \$2}")"
  echo "folder=$(cat /folder/file)"
  echo more >/folder/written
  echo "read-only=$(touch /folder-read-only/x 2>&1 | grep -o "Read-only file system")"
  echo "file=$(cat /etc/file)"
  echo kept >/claim/file
  echo "image=$(cat /image/volume/seed) $(touch /image/x 2>&1 | grep -o "Read-only file system")"
  echo "image-part=$(cat /image-part/seed)"
  echo "projected=$(cat /projected/deep/shape /projected/password /projected/labels | tr "\n" " ")"
  echo "token=$(cut -d. -f2 /projected/token | tr -d "\n" | wc -c)"
  echo "account=$(ls /var/run/secrets/kubernetes.io/serviceaccount | tr "\n" " ")"
  echo "downward=$(cat /downward/note) $(cat /downward/memory)"
  echo "environment=$POD_NAME $POD_IP $CPUS $COLOUR $PASSWORD"
' >"$scratch/out" || fail "exec"
said() { sed -n "s/^$1=//p" "$scratch/out"; }

echo "- configMap, secret, and one key of it by sub-path"
same config "$(said config)" blueround
same sub-path "$(said sub-path)" blue
same secret "$(said secret)" "opensesame 440:4000"
echo "- emptyDir on disk and in memory, with the pod's fsGroup and a size"
same fsgroup "$(said fsgroup)" "4000 4000"
same memory "$(said memory)" "tmpfs 8192"
same subPathExpr "$(said expression)" two
echo "- hostPath: folders, files, read only"
same folder "$(said folder)" "from the host"
same file "$(said file)" "from the host"
same read-only "$(said read-only)" "Read-only file system"
same "written by the pod" "$(cat "$host/folder/written")" more
echo "- persistent volumes"
same claim "$(cat "$host/disk/file")" kept
echo "- images as volumes"
same image "$(said image)" "from the image Read-only file system"
same image-part "$(said image-part)" "from the image"
echo "- projected and downward API, in files and in the environment"
same projected "$(said projected)" 'roundopensesamecolour="green"'
[[ $(said token) -gt 100 ]] || fail "token of $(said token) bytes"
same account "$(said account)" "ca.crt namespace token "
same downward "$(said downward)" "seen from inside 64"
same environment "$(said environment)" "all $(field pod/all .status.podIP) 500 blue opensesame"
echo "- a changed configMap is seen in the running pod, but not by sub-path"
kubectl patch configmap settings --patch '{"data": {"colour": "red"}}' >/dev/null
changed() { [[ $(inside all cat /config/colour /projected/deep/shape) == redround ]]; }
eventually 90 changed || fail "the pod sees $(inside all cat /config/colour)"
same "by sub-path" "$(inside all cat /etc/colour)" blue
same "restarts" "$(field pod/all '.status.containerStatuses[0].restartCount')" 0
echo "- mounts of one container are seen by the other and by the node, and go with the pod"
in_other() { [[ $(kubectl exec shared -c reader -- cat /mounts/of-pod/file) == seen ]]; }
eventually 20 in_other || fail "the other does not see the mount"
kubectl delete pod shared --wait >/dev/null
kubectl delete pod all --wait >/dev/null
gone() { [[ ! -e $CRISP_CLUSTER_DIR/host-path/mounts/of-pod/file ]]; }
eventually 10 gone || fail "the mount is left"
same "data of the claim" "$(cat "$host/disk/file")" kept
kubectl delete persistentvolumeclaim/disk persistentvolume/crisp-cluster-disk --wait=false >/dev/null
finish
