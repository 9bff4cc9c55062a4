#!/bin/bash
# Pull policies, digests, secrets for private registries and who may use what they brought, runtime
# classes.
. "$(dirname "$0")/lib.sh"
. "$root/hack/lib/registry.sh"
export TMPDIR=$scratch
private=$(start_registry --auth someone:secret)
trap 'stop_registry "$private"' EXIT
jq -n '{layers: [{entries: [{path: "bin/busybox", source: "/bin/busybox", mode: "0755"}, {path: "bin/sh", type: "symlink", target: "busybox"}]}],
  config: {Entrypoint: ["/bin/busybox"], Cmd: ["sleep", "1000"]}}' |
  "$root/build/tools/bin/mkimage" -user someone:secret -push "http://$private/ours:1" - >/dev/null || fail "push"
kubectl create secret docker-registry good --docker-server="$private" --docker-username=someone --docker-password=secret >/dev/null
kubectl create secret docker-registry bad --docker-server="$private" --docker-username=someone --docker-password=wrong >/dev/null

# with NAME IMAGE "POD FIELDS" "CONTAINER FIELDS"
with() {
  printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {terminationGracePeriodSeconds: 1, %s containers: [{name: c, image: "%s"%s}]}\n' \
    "$1" "${3:+$3, }" "$2" "${4:+, $4}"
}
waiting() { field "pod/$1" '.status.containerStatuses[0].state.waiting | "\(.reason) \(.message)"'; }
denied() { [[ $(waiting "$1") =~ ^(ErrImagePull|ImagePullBackOff).*(401|unauthorized|denied|credential) ]]; }
{
  with bad-secret "$private/ours:1" "imagePullSecrets: [{name: bad}]"
  with no-secret "$private/ours:1"
} | apply
echo "- a private registry says no without a secret, and to a wrong one"
for name in bad-secret no-secret; do eventually 60 denied $name || fail "$name: $(waiting $name)"; done
waiting bad-secret | grep -q wrong && fail "the password is in the message"

echo "- with the right one its image runs, and its entrypoint with it"
with secret "$private/ours:1" "imagePullSecrets: [{name: good}]" | apply
ready secret
same "command" "$(inside secret /bin/busybox sh -c 'tr "\0" " " </proc/1/cmdline')" "/bin/busybox sleep 1000 "
echo "- a pod without the secret may not use what another's brought"
with later "$private/ours:1" "" "imagePullPolicy: IfNotPresent" | apply
refused() { [[ $(waiting later) =~ ^(ErrImagePull|ImagePullBackOff|ErrImageNeverPull) ]]; }
eventually 60 refused || fail "later: $(field pod/later .status.containerStatuses)"
with again "$private/ours:1" "imagePullSecrets: [{name: good}]" "imagePullPolicy: IfNotPresent" | apply
ready again

echo "- by digest, never pulled, always pulled"
digest=$(field pod/secret '.status.containerStatuses[0].imageID' | sed 's/.*@//')
matches "digest" "$digest" '^sha256:[0-9a-f]{64}$'
{
  with digest "$private/ours@$digest" "imagePullSecrets: [{name: good}]"
  with always "$busybox" "" 'imagePullPolicy: Always, command: [sleep, "1000"]'
  with never "$busybox" "" 'imagePullPolicy: Never, command: [sleep, "1000"]'
} | apply
for name in digest always never; do ready $name; done
same "the same image" "$(field pod/digest '.status.containerStatuses[0].imageID' | sed 's/.*@//')" "$digest"

echo "- runtime classes: crisp's own, and one that the node does not have"
apply <<YAML
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: crisp}
handler: crisp
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: absent}
handler: absent
YAML
{
  with class "$busybox" "runtimeClassName: crisp" 'command: [sleep, "1000"]'
  with no-class "$busybox" "runtimeClassName: absent" 'command: [sleep, "1000"]'
} | apply
ready class
told() { kubectl get events --field-selector involvedObject.name=no-class -o json | jq -e '.items[] | select(.message | test("absent.*not configured"))'; }
eventually 30 told || fail "no event says that the handler is not there"
stop_registry "$private" # whose folder goes with the others of the test
finish
