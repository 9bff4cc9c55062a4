#!/bin/bash
# Every command of `crisp` once, against a daemon of its own.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. hack/lib/daemon.sh
. hack/lib/image.sh
. hack/lib/registry.sh
TMPDIR=$(mktemp -d)
export TMPDIR
failed=0 registry=''
finish() {
  local status=$?
  trap '' INT TERM
  [[ $failed == 0 && $status == 0 ]] || tail -20 "${CRISP_DIR:-/nonexistent}/crispd.log" 2>/dev/null
  [[ -z $registry ]] || stop_registry "$registry"
  stop_daemon || failed=1
  rm -rf --one-file-system "$TMPDIR"
  exit $((failed || status))
}
trap finish EXIT
trap 'exit 130' INT TERM
fail() { echo "FAILED: $*"; failed=1; }
same() { [[ $2 == "$3" ]] || fail "$1: '$2', not '$3'"; }
has() { [[ $2 == *"$3"* ]] || fail "$1: no '$3' in: $2"; }
# refused WHAT TEXT COMMAND...: it exits with 125 and says TEXT.
refused() {
  local what=$1 text=$2 said status
  shift 2
  said=$("$@" 2>&1 </dev/null)
  status=$?
  same "$what: its status" "$status" 125
  has "$what" "$said" "$text"
}
crisp() { "$CRISP_BIN/crisp" --address "$CRISP_DIR/state/operator.sock" "$@"; }
operator() { (CRISP_SOCKET=$CRISP_DIR/state/operator.sock && crictl "$@"); }
# until_says TEXT COMMAND...
until_says() {
  local text=$1
  shift
  for _ in {1..200}; do [[ $("$@" 2>&1) == *"$text"* ]] && return 0; sleep 0.05; done
  fail "no '$text' in: $("$@" 2>&1)"
}

# run NAME: as `crisp run -d --name NAME` makes a container of busybox. Prints its id.
run() {
  local pod container
  jq -n --arg n "$1" --arg l "$TMPDIR/logs" '{metadata: {name: $n, namespace: "default", uid: $n},
    labels: {"io.crisp.run": "true"}, log_directory: $l}' >"$TMPDIR/$1-pod.json"
  jq -n --arg n "$1" '{metadata: {name: $n}, image: {image: "crisp.test/busybox:latest"}, log_path: "c.log",
    command: ["sh", "-c", "echo began >/file; trap \"exit 3\" HUP; while :; do sleep 0.1; done"]}' >"$TMPDIR/$1.json"
  pod=$(operator runp "$TMPDIR/$1-pod.json") || return
  container=$(operator create "$pod" "$TMPDIR/$1.json" "$TMPDIR/$1-pod.json") || return
  operator start "$container" >/dev/null && echo "$container"
}

start_daemon || exit 1
registry=$(start_registry)

echo "- a daemon that is away, and what is mistyped"
refused "no socket" "$TMPDIR/none.sock: there is no such socket" "$CRISP_BIN/crisp" --address "$TMPDIR/none.sock" ps
refused "a typo" "did you mean images?" crisp imgaes
refused "a typo of a flag" "did you mean --no-trunc?" crisp ps --no-trnc

echo "- images"
make_busybox_tar "$TMPDIR/busybox.tar" crisp.test/busybox:latest
same import "$(crisp import "$TMPDIR/busybox.tar")" crisp.test/busybox:latest
same load "$(crisp load <"$TMPDIR/busybox.tar")" crisp.test/busybox:latest
has images "$(crisp images)" crisp.test/busybox:latest
same "images list" "$(crisp images list -o 'template={{.Names}}')" crisp.test/busybox:latest
same tag "$(crisp tag crisp.test/busybox:latest other:1)" docker.io/library/other:1
same "two names" "$(crisp images -o json | jq -c '[.[].names[]]')" '["crisp.test/busybox:latest","docker.io/library/other:1"]'
same "rmi of one name" "$(crisp rmi other:1)" other:1
same "the image stays" "$(crisp images -o json | jq -c '[.[].names[]]')" '["crisp.test/busybox:latest"]'
refused "an unknown image" "did you mean" crisp rmi crisp.test/busybx
has history "$(crisp history crisp.test/busybox)" sha256:
crisp export -o "$TMPDIR/out.tar" crisp.test/busybox || fail export
crisp save crisp.test/busybox >"$TMPDIR/save.tar" || fail save
tar -tf "$TMPDIR/save.tar" index.json >/dev/null || fail "save wrote no layout"
hack/images.sh "http://$registry" >/dev/null
id=$(crisp pull -q "$registry/test/busybox:1") || fail pull
has "inspect of an image" "$(crisp inspect --type image "$registry/test/busybox:1" | jq -r '.[0].status.id')" "${id#sha256:}"

echo "- containers"
web=$(run web) || fail run
has ps "$(crisp ps)" web
same "ps -q" "$(crisp ps -q --no-trunc)" "$web"
same "the kubelet's socket hides it" "$("$CRISP_BIN/crisp" --address "$CRISP_SOCKET" ps -aq)" ""
has pods "$(crisp pods -o wide)" web
same inspect "$(crisp inspect "crisp://${web:0:8}" | jq -r '.[0].status.metadata.name')" web
has explain "$(crisp explain -o json web | jq -r .pod)" "$(crisp pods -q)"
page=$(crisp explain --show-me web)
has "explain: namespaces" "$page" "its own"
has "explain: its layers" "$page" "to pull)"
has "explain: its link" "$page" " in bridge "
has "explain: how to prove it" "$page" "$ nsenter -t "
has top "$(crisp top web)" "sh -c echo began"
until_says '"name": "web"' crisp stats --no-stream -o json
until_says "A     /file" crisp diff web
same pause "$(crisp pause web)" web
same unpause "$(crisp unpause web)" web
refused "an unknown container" "there is no container wbe: did you mean web?" crisp stop wbe
refused "rm of what runs" "web runs" crisp rm web
refused "rmi of what is used" "is used by web" crisp rmi crisp.test/busybox:latest

echo "- events, a signal, a restart, the end"
crisp events -n 1 -o 'template={{.Event}} {{.Name}} {{.ExitCode}}' >"$TMPDIR/events" &
events=$!
# The stream has begun when the event of a pod of the test arrives; until then others are made.
for _ in {1..100}; do
  kill -0 $events 2>/dev/null || break
  probe=$(run probe) && crisp rm -f probe >/dev/null
  : "$probe"
done
wait $events || fail events
has "an event" "$(cat "$TMPDIR/events")" probe
same "kill -s HUP" "$(crisp kill -s HUP web)" web
until_says "Exited (3)" crisp ps -a
refused "a signal to what has ended" "does not run" crisp kill -s HUP web
same restart "$(crisp restart -t 1 web)" web
again=$(crisp ps -q --no-trunc)
[[ -n $again && $again != "$web" ]] || fail "restart made no other container: '$again'"
same "the next attempt" "$(crisp ps -o json | jq -r '.[0].attempt')" 1
same stop "$(crisp stop -t 1 web)" web
has "df" "$(crisp df)" containers
refused "prune without an answer" "give -f" crisp prune
has prune "$(crisp prune -f)" web
same "nothing is left" "$(crisp pods -q)" ""
second=$(run second) || fail "run second"
same "kill" "$(crisp kill second)" second
until_says "Exited (137)" crisp ps -a
same "rm by a prefix" "$(crisp rm "${second:0:10}")" "${second:0:10}"
same "its pod went" "$(crisp pods -q)" ""

echo "- the rest"
same info "$(crisp info | jq -r .socket)" "$CRISP_SOCKET"
crisp doctor --config "$CRISP_DIR/config.yaml" --json | jq -e .findings >/dev/null || fail doctor
crisp completion bash | bash -n || fail completion
crisp manual "$TMPDIR/man" && [[ -s $TMPDIR/man/crisp-events.1 ]] || fail manual

[[ $failed == 0 ]] && echo passed
