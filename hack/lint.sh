#!/bin/bash
# hack/lint.sh [check...]: what can be said of the sources without building them. Prints what is wrong.
#
#   shell    shellcheck's errors and warnings, over every script (.shellcheckrc)
#   format   clang-format changes nothing (.clang-format)
#   locks    what a lock guards is used under it (hack/check-locks); three minutes the first time, then a second
#   layers   every include has an arrow, every arrow an include, and no room a circle (hack/check-layers)
#   links    the pages' links to files, and the files that they name, are there
#   words    few comments begin as a fragment that its reader has to complete: Whether, Who, What. Their number
#            may only go down (most_fragments below)
#   sleeps   no test lets time pass but those that test/sleeps lists, each as often as it says
set -uo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
cd "$(dirname "$0")/.." || exit
checks=("$@")
[[ $# -gt 0 ]] || checks=(shell format layers locks links words sleeps)

check_shell() {
  local scripts
  mapfile -t scripts < <({ git ls-files '*.sh'; git grep -lE '^#!/bin/(ba)?sh' -- ':!*.sh'; } | sort -u)
  shellcheck -S warning -f gcc "${scripts[@]}"
}

check_format() {
  git ls-files -z '*.cc' '*.h' | xargs -0 -P "$(nproc)" -n 40 clang-format-14 --dry-run -Werror --style=file 2>&1 |
    grep -E '(error|warning):' | head -40
  [[ ${PIPESTATUS[0]} == 0 && ${PIPESTATUS[1]} == 0 ]]
}

check_layers() { hack/check-layers; }

check_locks() { hack/check-locks; }

# `folder/file` in a page's text is a file of ours when its first folder is; a unit may go without its endings.
named_files() { # PAGE
  grep -oE '`[a-z0-9_.-]+(/[A-Za-z0-9_.-]+)+/?`' "$1" | tr -d '`' | sort -u |
    while read -r path; do [[ $path != .* && -d ${path%%/*} && ${path%%/*} != build ]] && echo "$path"; done
}

links_of() { # PAGE
  grep -oE '\]\([^)]+\)' "$1" | sed -E 's/^\]\(//; s/\)$//; s/#.*//' | grep -vE '^([a-z]+:|$)' | sort -u
}

check_links() {
  local page path failed=0
  while read -r page; do
    while read -r path; do
      [[ -e $(dirname "$page")/$path ]] || { echo "$page: link to $path, which is not there"; failed=1; }
    done < <(links_of "$page")
    while read -r path; do
      [[ -e $path || -e $path.h || -e $path.cc ]] || { echo "$page: names $path, which is not there"; failed=1; }
    done < <(named_files "$page")
  done < <(git ls-files '*.md')
  return $failed
}

# Lower it when fewer are left.
most_fragments=100

check_words() {
  local found
  found=$(git ls-files -z '*.cc' '*.h' | xargs -0 awk '
    FNR == 1 { inside = 0 }
    { comment = /^[ \t]*\/\/ / }
    comment && !inside && /^[ \t]*\/\/ (Whether|Who|Whoever|Whose|What) / { print FILENAME ":" FNR ":" $0 }
    { inside = comment }')
  if [[ $(grep -c . <<<"$found") -gt $most_fragments ]]; then
    printf '%s\nwords: more than %s comments begin as a fragment; write whole sentences (CONTRIBUTING.md)\n' "$found" "$most_fragments"
    return 1
  fi
}

# A line of test/sleeps is as many lines of one file, and why they can do nothing else.
check_sleeps() {
  local found listed calls='\b(sleep|usleep|nanosleep|SleepFor|sleep_for) ?\(|\bp?poll\(nullptr, 0,'
  found=$(git grep -cE "$calls" -- '*_test.cc' '*/testing/*' 'test/e2e/*.cc' | tr : ' ' | sort)
  listed=$(awk -F ' [|] ' '!/^#/ { print $1, NF == 3 ? $2 : "lacks a reason" }' test/sleeps | sort)
  [[ $found != "$listed" ]] || return 0
  diff <(echo "$found") <(echo "$listed") | sed -n 's/^< /sleeps in the sources: /p; s|^> |sleeps in test/sleeps: |p'
  echo "sleeps: the two do not agree. Tests wait for a condition (Eventually) or set the time by hand (ManualClock);" \
    "what can do neither stands in test/sleeps, with its reason"
  return 1
}

failed=()
for check in "${checks[@]}"; do
  declare -F "check_$check" >/dev/null || bad_usage "there is no check '$check'"
  "check_$check" || failed+=("$check")
done
[[ ${#failed[@]} == 0 ]] || { echo "lint: failed: ${failed[*]}" >&2; exit 1; }
echo "lint: nothing to say"
