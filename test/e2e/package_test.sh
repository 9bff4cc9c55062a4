#!/bin/bash
# The Debian package of what build/ holds, in a throw-away copy of this machine: what is in it, a pod
# that runs from the installed paths and outlives upgrade and removal of the package, and what removal
# and purge leave.
set -uo pipefail
cd "$(dirname "$0")/../.."
. test/e2e/lib/throwaway.sh
. hack/lib/image.sh
fail() { echo "FAILED: $*"; failed=1; }
same() { [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"; }
failed=0

# Outside of the copy, which nothing is built in.
build_packages() {
  cpack --config build/CPackConfig.cmake -B "$debs" -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip >"$debs/log" 2>&1 ||
    { tail -20 "$debs/log"; fail "cpack"; return 1; }
  mv "$debs"/crisp_*.deb "$debs/1.deb"
  # The same as a later version with another comment in its configuration.
  dpkg-deb -R "$debs/1.deb" "$debs/tree"
  sed -i 's/^Version: .*/&+later/' "$debs/tree/DEBIAN/control"
  sed -i '1s/.*/# This line is new./' "$debs/tree/etc/crisp/config.yaml"
  (cd "$debs/tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)
  dpkg-deb --root-owner-group -Zgzip -z1 -b "$debs/tree" "$debs/2.deb" >/dev/null
}

look_into() {
  echo "- owners, modes, conffile, dependencies"
  local bad field page
  bad=$(dpkg-deb -c "$1" | awk '$2 != "root/root"')
  same "what is not root's" "$bad" ""
  bad=$(dpkg-deb -c "$1" | awk '$1 !~ /^drwxr-xr-x|^-rw-r--r--|^-rwxr-xr-x/')
  same "odd modes" "$bad" ""
  same "programs" "$(dpkg-deb -c "$1" | awk '$1 ~ /^-rwx/ {print $6}' | sort | xargs)" \
    "./usr/bin/crisp ./usr/bin/crispd ./usr/libexec/crisp/crisp-paths ./usr/libexec/crisp/crisp-shim ./usr/libexec/crisp/crisp-unpacker"
  for page in crisp crisp-ps crisp-images-list; do
    dpkg-deb --fsys-tarfile "$1" | tar -xO "./usr/share/man/man1/$page.1.gz" | gunzip | grep '^\.Sh NAME' >/dev/null ||
      fail "no page $page.1"
  done
  dpkg-deb --fsys-tarfile "$1" | tar -xO ./usr/share/bash-completion/completions/crisp | bash -n || fail "the completion"
  same "conffiles" "$(dpkg-deb -I "$1" conffiles)" /etc/crisp/config.yaml
  for field in libcurl4 libseccomp2 libnftables1 libc6; do
    dpkg-deb -f "$1" Depends | grep -qF "$field" || fail "no dependency on $field"
  done
  if command -v lintian >/dev/null; then
    echo "- lintian"
    lintian --fail-on error,warning --allow-root "$1" || fail "lintian"
  fi
}

crictl() {
  build/tools/bin/crictl --config /dev/null --timeout 60s --runtime-endpoint unix:///run/crisp/crisp.sock \
    --image-endpoint unix:///run/crisp/crisp.sock "$@"
}

start_installed() {
  /usr/bin/crispd >>/tmp/crispd.log 2>&1 </dev/null &
  crispd=$!
  for _ in {1..200}; do crictl version >/dev/null 2>&1 && return 0; sleep 0.05; done
  tail -20 /tmp/crispd.log
  fail "the installed crispd does not answer"
  return 1
}

stop_installed() { kill "$crispd"; wait "$crispd" 2>/dev/null; }

run_pod() {
  make_busybox_tar /tmp/busybox.tar crisp.test/busybox:latest
  crisp images import /tmp/busybox.tar >/dev/null || fail "import"
  printf '{"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "linux": {"cgroup_parent": "/crisp-package-%s"}}' \
    "$THROWAWAY_ID" >/tmp/pod.json
  echo '{"metadata": {"name": "c"}, "image": {"image": "crisp.test/busybox:latest"}, "command": ["sleep", "1000"]}' \
    >/tmp/container.json
  pod=$(crictl runp /tmp/pod.json) && container=$(crictl create "$pod" /tmp/container.json /tmp/pod.json) &&
    crictl start "$container" >/dev/null || fail "no pod runs: $(tail -3 /tmp/crispd.log)"
}

says() { crictl exec --sync "$container" echo alive; }

# Not all of /var: what lies below the copy is alive.
installed_files() { find /etc /run /usr /var/lib/{crisp,dpkg,systemd} -xdev -name '*crisp*' 2>/dev/null; }

# In the copy, from here on.
lifecycle() {
  export DEBIAN_FRONTEND=noninteractive
  # What runs by itself is none of this test's business.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  rmdir /var/lib/crisp
  rm -f /etc/crictl.yaml
  local before
  before=$(installed_files | sort)

  echo "- installs, and starts nothing"
  dpkg -i "$debs/1.deb" >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "dpkg -i"; return; }
  same "processes" "$(pgrep -c crispd)" 0
  [[ ! -e /run/crisp && ! -e /etc/systemd/system/multi-user.target.wants/crispd.service ]] || fail "something was started"
  same "dpkg --verify" "$(dpkg --verify crisp)" ""
  crisp --version >/dev/null || fail "crisp --version"
  same "configuration" "$(crispd config dump)" "$(crispd config dump --config /dev/null)"
  crisp doctor >/tmp/doctor 2>&1 && fail "doctor is content without a daemon"
  grep -A2 '^error *daemon' /tmp/doctor | grep -q 'to do: systemctl start crispd' || fail "doctor says $(cat /tmp/doctor)"
  same "crictl's endpoints" "$(grep -c '^[a-z]*-endpoint: unix:///run/crisp/operator.sock$' /etc/crictl.yaml)" 2
  same "its mode" "$(stat -c %a /etc/crictl.yaml)" 644
  man --where crispd >/dev/null 2>&1 || ! command -v man >/dev/null || fail "no manual page"

  echo "- a pod runs from the installed paths"
  mkdir -p /etc/crisp/config.d /var/lib/crisp
  chmod 711 /var/lib/crisp
  mount -t tmpfs -o mode=711 crisp /var/lib/crisp
  printf 'network: {cni_conf_dir: /nowhere}\n' >/etc/crisp/config.d/10-test.yaml
  start_installed || return
  run_pod
  same "in the pod" "$(says)" alive
  same "pods of a crictl without options" "$(build/tools/bin/crictl pods -q)" "$pod"
  crisp doctor --json >/tmp/doctor.json || fail "doctor: $(jq -c '.findings[] | select(.level == "error")' /tmp/doctor.json)"
  jq -e '.errors == 0 and any(.findings[]; .check == "daemon" and .level == "ok")' /tmp/doctor.json >/dev/null ||
    fail "doctor says $(cat /tmp/doctor.json)"

  echo "- an upgrade leaves the pod and the operator's configuration"
  echo 'log_level: debug' >>/etc/crisp/config.yaml
  mv /etc/crictl.yaml /tmp/crictl.yaml
  dpkg --force-confold -i "$debs/2.deb" >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "upgrade"; }
  same "in the pod, old daemon" "$(says)" alive
  [[ ! -e /etc/crictl.yaml ]] || fail "crictl.yaml came back with the upgrade"
  mv /tmp/crictl.yaml /etc/crictl.yaml
  tail -1 /etc/crisp/config.yaml | grep -qx 'log_level: debug' || fail "the configuration was replaced"
  stop_installed
  start_installed || return
  same "in the pod, new daemon" "$(says)" alive

  echo "- removal leaves the pod, the data and the configuration"
  stop_installed
  dpkg -r crisp >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "dpkg -r"; }
  grep -q "pods are still running" /tmp/dpkg.log || fail "removal does not speak of the pod"
  pgrep -f 'sleep 1000' >/dev/null || fail "the pod's process ended"
  [[ -f /etc/crictl.yaml ]] || fail "the removal took crictl.yaml"
  [[ -f /etc/crisp/config.yaml && -d /var/lib/crisp/layers || -n $(ls /var/lib/crisp) ]] || fail "data was removed"
  [[ ! -e /usr/bin/crispd && ! -e /usr/libexec/crisp ]] || fail "programs are left"

  echo "- purge keeps data while pods run; reset and purge leave nothing"
  dpkg -P crisp >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "dpkg -P"; }
  grep -q "left as they are" /tmp/dpkg.log || fail "purge does not speak of the pod"
  pgrep -f 'sleep 1000' >/dev/null || fail "the pod's process ended by the purge"
  [[ ! -e /etc/crisp/config.yaml && -e /etc/crisp/config.d/10-test.yaml ]] || fail "configuration after the purge"
  [[ ! -e /etc/crictl.yaml ]] || fail "crictl.yaml after the purge"
  echo '# mine' >/etc/crictl.yaml
  dpkg -i "$debs/2.deb" >/tmp/dpkg.log 2>&1 || fail "install again"
  same "crictl.yaml of another's" "$(cat /etc/crictl.yaml)" "# mine"
  start_installed || return
  same "in the pod, installed again" "$(says)" alive
  stop_installed
  umount -l /var/lib/crisp/* 2>/dev/null
  crispd reset >>/tmp/crispd.log 2>&1
  umount /var/lib/crisp
  ! pgrep -f 'sleep 1000' >/dev/null || fail "reset left the pod"
  mkdir -p /var/lib/crisp/layers /run/crisp
  rm /etc/crisp/config.d/10-test.yaml
  dpkg -P crisp >/tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; fail "dpkg -P"; }
  same "what is left" "$(installed_files | sort)" "$before"
  same "crictl.yaml of another's" "$(cat /etc/crictl.yaml)" "# mine"
}

if [[ ${1:-} == lifecycle ]]; then
  lifecycle
  exit $failed
fi
debs=$(mktemp -d "$PWD/build/package.XXXXXXXX")
trap 'rm -rf "$debs"; rmdir /sys/fs/cgroup/*/crisp-package-$$ /sys/fs/cgroup/crisp-package-$$ 2>/dev/null' EXIT
export debs THROWAWAY_ID=$$
build_packages && look_into "$debs/1.deb" && in_throwaway lifecycle || failed=1
[[ $failed == 0 ]] && echo passed
exit $failed
