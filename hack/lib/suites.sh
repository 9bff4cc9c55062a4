# Sourced. What the scripts that run Kubernetes' own suites (hack/conformance.sh, hack/node-conformance.sh)
# have in common. $root, $work, $logs and say are theirs.

# make_network: a node has an address, a route by which the kubelet finds it, and a neighbour with which it
# has talked. Beyond that nothing is there, and no name server is there to be waited for. In a network and a
# mount namespace of the caller's own.
make_network() {
  local neighbour=()
  printf '127.0.0.1 localhost\n10.99.0.2 crisp\n' >"$work/hosts"
  echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
  mount --bind "$work/hosts" /etc/hosts
  mount --bind "$work/resolv.conf" "$(readlink -f /etc/resolv.conf)"
  unshare --net sleep 1000000 &
  until [[ $(readlink "/proc/$!/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.05; done
  neighbour=(nsenter --net="/proc/$!/ns/net")
  ip link set lo up
  ip link add eth0 type veth peer name eth0 netns "$!"
  "${neighbour[@]}" ip address add 10.99.0.1/24 dev eth0
  "${neighbour[@]}" ip link set eth0 up
  ip address add 10.99.0.2/24 dev eth0
  ip link set eth0 up
  ip route add default via 10.99.0.1
  busybox ping -q -c 20 -s 60000 -i 0.1 10.99.0.1 >/dev/null
}

# holds CONDITION: one of the first column of a list of skips.
holds() {
  case $1 in
    always) ;;
    cgroup1) [[ -d /sys/fs/cgroup/memory ]] ;;
    nodummy) ! ip link add dummy-test type dummy 2>/dev/null || { ip link delete dummy-test; return 1; } ;;
    bounded) ! (echo -900 >/proc/self/oom_score_adj) 2>/dev/null ;;
    *) say "a list of skips: $1?" >&2; return 1 ;;
  esac
}

# read_skips FILE: the options of ginkgo's that leave out what FILE names and whose condition holds, in `skips`.
read_skips() {
  local condition pattern
  skips=()
  while read -r condition pattern; do
    [[ $condition != '#'* && -n $condition ]] || continue
    if holds "${condition%:}"; then skips+=("--skip=${pattern%% # *}"); fi
  done <"$1"
}

# summarize: what the suite's report in $logs says. A test that the filter or a --skip left out gives no reason.
summarize() {
  [[ -s $logs/report.json ]] || { say "the suite did not run; see $logs/ginkgo.log"; return 1; }
  local specs='.[].SpecReports[] | . + {name: ((.ContainerHierarchyTexts // []) + [.LeafNodeText] | join(" "))}'
  jq -r "$specs | select(.State | IN(\"passed\", \"skipped\", \"pending\") | not) |
    \"FAILED: \(if .LeafNodeType == \"It\" then .name else .LeafNodeType end)\"" "$logs/report.json"
  jq -r "$specs | select(.LeafNodeType == \"It\" and .State == \"skipped\" and (.Failure.Message // \"\") != \"\") |
    \"\(.Failure.Message | gsub(\"\\n\"; \" \"))\t\(.name)\"" "$logs/report.json" | sort >"$logs/skipped.txt"
  if [[ -s $logs/skipped.txt ]]; then
    say "skipped by the tests themselves:"
    cut -f1 "$logs/skipped.txt" | uniq -c
  fi
  say "$(jq -r '[.[].SpecReports[] | select(.LeafNodeType == "It") | .State] | "\(map(select(. == "passed")) | length) passed, \(
    map(select(IN("passed", "skipped", "pending") | not)) | length) failed"' "$logs/report.json"), $(wc -l <"$logs/skipped.txt") skipped by themselves"
}
