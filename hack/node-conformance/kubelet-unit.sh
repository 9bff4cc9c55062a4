#!/bin/bash
# What hack/node-conformance.sh puts in the place of systemd-run and systemctl, where systemd is not pid 1:
# the node tests have the kubelet as a unit, which they stop, kill and restart. It is called by either
# name and knows of units that it started itself, below $KUBELET_UNITS, and the verbs that the suite uses.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/../lib/processes.sh"

pid_of() { local pid; pid=$(cat "$KUBELET_UNITS/$1.pid" 2>/dev/null) && [[ -d /proc/$pid ]] && echo "$pid"; }

start() {
  local command=()
  mapfile -d '' command <"$KUBELET_UNITS/$1.command"
  setsid "${command[@]}" >>"$(cat "$KUBELET_UNITS/$1.log")" 2>&1 </dev/null &
  echo $! >"$KUBELET_UNITS/$1.pid"
}

# end UNIT SIGNAL: returns when it is gone.
end() {
  local pid
  pid=$(pid_of "$1") || return 0
  kill "-$2" "$pid" 2>/dev/null || true
  await_gone "$pid" 30 || true
  rm -f "$KUBELET_UNITS/$1.pid"
}

if [[ ${0##*/} == systemd-run ]]; then
  [[ ${1:-} != --version ]] || { echo "systemd 252"; exit; }
  unit='' log=/dev/null
  while [[ ${1:-} == -* ]]; do
    case $1 in
      -p) [[ $2 != StandardError=*:* ]] || log=${2#*:}; shift ;;
      --unit=*) unit=${1#*=} unit=${unit%.service} ;;
    esac
    shift
  done
  # systemd would take % and $ for its own, which are therefore doubled.
  arguments=("${@//%%/%}")
  printf '%s\0' "${arguments[@]//\$\$/\$}" >"$KUBELET_UNITS/$unit.command"
  echo "$log" >"$KUBELET_UNITS/$unit.log"
  start "$unit"
  exit
fi

unit=${2:-} unit=${unit%.service}
case ${1:-} in
  list-units)
    for file in "$KUBELET_UNITS"/*.command; do
      unit=${file##*/} unit=${unit%.command}
      [[ ${3:-} != --state=running ]] || pid_of "$unit" >/dev/null || continue
      echo "$unit.service"
    done
    ;;
  reset-failed) ;;
  kill) end "$unit" TERM ;;
  stop) end "$unit" TERM ;;
  start) pid_of "$unit" >/dev/null || start "$unit" ;;
  restart) end "$unit" TERM; start "$unit" ;;
  *) echo "systemctl: $* is not known here" >&2; exit 1 ;;
esac
