# Sourced. A crispd of the test's own: folders, socket, bridge and subnet that no other uses.
#
#   start_daemon          # sets CRISP_DIR, CRISP_SOCKET, CRISP_PID
#   crictl ARG...         # our crictl, talking to it
#   stop_daemon           # ends it and its pods, undoes all, removes CRISP_DIR

CRISP_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
CRISP_BIN=${CRISP_BIN:-$CRISP_ROOT/build/bin}

# start_daemon [CONFIG]: CONFIG is YAML for top-level keys other than `network`. CRISP_RUNTIME: of `runtime`,
# as {KEY: VALUE, ...}.
start_daemon() {
  CRISP_DIR=$(mktemp -d "${TMPDIR:-/tmp}/crisp-test.XXXXXXXX")
  CRISP_SOCKET=$CRISP_DIR/crisp.sock
  # Bridge and subnet follow from this shell's pid, so that instances do not meet.
  local id=$(($$ % 250))
  {
    [[ -z ${CRISP_CGROUP_DRIVER:-} ]] || echo "runtime: {cgroup_driver: $CRISP_CGROUP_DRIVER}"
    echo "network: {name: crt$$, subnets: [\"10.$((id % 100 + 100)).$id.0/24\"], cni_conf_dir: $CRISP_DIR/no-cni}"
    printf '%s\n' "${1:-}"
  } >"$CRISP_DIR/config.yaml"
  mkdir "$CRISP_DIR/config.d"
  [[ -z ${CRISP_RUNTIME:-} ]] || echo "runtime: $CRISP_RUNTIME" >"$CRISP_DIR/config.d/runtime.yaml"
  if [[ -n ${CRISP_LAYER_FORMAT:-} ]]; then
    echo "image: {layer_format: $CRISP_LAYER_FORMAT}" >"$CRISP_DIR/config.d/layers.yaml"
  fi
  launch_daemon
}

# launch_daemon: starts crispd on the folders there are (again).
launch_daemon() {
  "$CRISP_BIN/crispd" --config "$CRISP_DIR/config.yaml" --root "$CRISP_DIR/root" \
    --state "$CRISP_DIR/state" --listen "unix://$CRISP_SOCKET" --metrics-address 127.0.0.1:0 \
    ${CRISP_LOG_LEVEL:+--log-level "$CRISP_LOG_LEVEL"} >>"$CRISP_DIR/crispd.log" 2>&1 </dev/null &
  CRISP_PID=$!
  for _ in {1..200}; do
    crictl version >/dev/null 2>&1 && return 0
    kill -0 "$CRISP_PID" 2>/dev/null || break
    sleep 0.05
  done
  echo "crispd does not answer; the end of its log:" >&2
  tail -20 "$CRISP_DIR/crispd.log" >&2
  return 1
}

crictl() {
  "$CRISP_ROOT/build/tools/bin/crictl" --config /dev/null --timeout "${CRICTL_TIMEOUT:-60s}" \
    --runtime-endpoint "unix://$CRISP_SOCKET" --image-endpoint "unix://$CRISP_SOCKET" "$@"
}

# stop_daemon: fails when crispd could not undo all that it had made.
stop_daemon() {
  [[ -n ${CRISP_DIR:-} ]] || return 0
  local status=0
  if [[ -n ${CRISP_PID:-} ]]; then
    kill "$CRISP_PID" 2>/dev/null && wait "$CRISP_PID" 2>/dev/null
  fi
  "$CRISP_BIN/crispd" --config "$CRISP_DIR/config.yaml" reset --root "$CRISP_DIR/root" \
    --state "$CRISP_DIR/state" >>"$CRISP_DIR/crispd.log" 2>&1 || status=1
  if [[ $status != 0 ]]; then
    echo "crispd reset failed; the end of its log:" >&2
    tail -5 "$CRISP_DIR/crispd.log" >&2
  fi
  rm -rf --one-file-system "$CRISP_DIR"
  CRISP_DIR='' CRISP_PID=''
  return $status
}
