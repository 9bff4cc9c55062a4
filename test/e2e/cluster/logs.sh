#!/bin/bash
# The kubelet rotates the log of a container that writes much (run.sh's kubelet does at 100 KiB, and
# looks every three seconds); nothing is lost to those who follow, and the old files stay readable.
. "$(dirname "$0")/lib.sh"
lines=6000
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: chatty}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $busybox
    command: [sh, -c, "i=0; while [ \$i -lt $lines ]; do i=\$((i + 1)); echo \$i fill the log with some more text than a number; [ \$((i % 60)) != 0 ] || sleep 0.1; done; while sleep 1; do echo still here; done"]
YAML
echo "- under a chatty container"
ready chatty
timeout 120 kubectl logs -f chatty >"$scratch/followed" &
follower=$!
folder=$(echo "$CRISP_CLUSTER_DIR/logs/pods/${theme}_chatty_"*/c)
rotated() { compgen -G "$folder/0.log.2*" >/dev/null; }
eventually 60 rotated || fail "no rotated file in $folder: $(ls "$folder")"
all() { grep -q "^$lines " "$scratch/followed"; }
eventually 60 all || fail "the last line followed is $(tail -1 "$scratch/followed")"
kill $follower 2>/dev/null
same "lines followed, in their order" "$(grep -v still "$scratch/followed" | cut -d' ' -f1 | cmp - <(seq $lines) 2>&1)" ""
compressed() { compgen -G "$folder/*.gz" >/dev/null; }
eventually 30 compressed || fail "nothing was compressed: $(ls "$folder")"
[[ $(ls "$folder" | wc -l) -le 5 ]] || fail "files: $(ls "$folder")"
# The newest file is empty for a moment after each rotation.
goes_on() { [[ $(kubectl logs --tail=1 chatty) == "still here" ]]; }
eventually 20 goes_on || fail "the log's end is $(kubectl logs --tail=1 chatty)"
finish
