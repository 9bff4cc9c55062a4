#!/bin/bash
# hack/skips.sh FOLDER: reads GoogleTest's XML reports in FOLDER, and fails when a test was skipped that
# test/skips does not list, or for another reason than it says there. Prints how many were.
#
# A test that does not run proves nothing: each line of test/skips says where that one runs instead.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
[[ $# == 1 ]] || bad_usage
list=$(dirname "$0")/../test/skips
folder=$1
compgen -G "$folder/*.xml" >/dev/null || { echo "skips: no report in $folder: no test ran" >&2; exit 1; }

# "Suite.Test<TAB>reason" for each.
skipped() {
  awk '
    function attribute(name) { return match($0, " " name "=\"[^\"]*\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) : "" }
    /<testcase / { test = attribute("classname") "." attribute("name") }
    /<skipped message=/ {
      reason = attribute("message"); sub(/^[^&]*&#x0A;/, "", reason)
      gsub(/&#x0A;/, " ", reason); gsub(/&quot;/, "\"", reason); gsub(/&apos;/, "\047", reason)
      gsub(/&lt;/, "<", reason); gsub(/&gt;/, ">", reason); gsub(/&amp;/, "\\&", reason)
      print test "\t" reason
    }' "$folder"/*.xml
}

# Of test/skips: a pattern of tests, a pattern of reasons.
known() { # TEST REASON
  local tests reasons where
  while IFS='|' read -r tests reasons where; do
    [[ -z $tests || $tests == '#'* ]] && continue
    reasons=${reasons# } reasons=${reasons% }
    # shellcheck disable=SC2053 # patterns
    [[ $1 == ${tests% } && $2 == $reasons && -n ${where// } ]] && return 0
  done <"$list"
  return 1
}

count=0 unknown=0
while IFS=$'\t' read -r test reason; do
  count=$((count + 1))
  known "$test" "$reason" && continue
  echo "skips: $test was skipped (\"$reason\"): make it run, or say in test/skips where it does" >&2
  unknown=$((unknown + 1))
done < <(skipped)
echo "skips: $count tests were skipped, $unknown of them unexplained"
[[ $unknown == 0 ]]
