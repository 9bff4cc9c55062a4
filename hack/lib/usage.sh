# Sourced, before the script changes its folder. A script's usage is the comment that it begins with.

usage_script=$(readlink -f "$0")

print_usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$usage_script"; }

# answer_help ARGUMENT...: prints the usage and ends the script, if the first argument asks for it.
answer_help() {
  case ${1:-} in -h | --help | help) print_usage; exit 0 ;; esac
}

# bad_usage [MESSAGE]: says what is wrong and how it is right, and ends the script.
bad_usage() {
  [[ $# == 0 ]] || printf '%s: %s\n\n' "${0##*/}" "$*" >&2
  print_usage >&2
  exit 2
}
