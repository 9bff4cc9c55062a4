# Sourced. Processes that a script has started, by their number.

# await_gone PID SECONDS: waits until the process has ended, whether or not its parent has asked for its
# status. Fails if it still runs after that time.
await_gone() {
  local deadline=$((SECONDS + $2))
  while [[ -d /proc/$1 && $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) != Z* ]]; do
    ((SECONDS <= deadline)) || return 1
    sleep 0.05
  done
}
