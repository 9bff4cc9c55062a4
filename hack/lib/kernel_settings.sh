# Sourced. The kubelet wants a few of the kernel's settings to be what a server's are. It finds them so in
# its own view of /proc/sys, and leaves the machine's as they are.

# bind_kernel_settings FOLDER: covers them in this process' mount namespace, with files of FOLDER.
bind_kernel_settings() {
  local setting name
  mkdir -p "$1"
  mount --make-rprivate /proc || return 1
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    name=${setting%=*}
    [[ -e /proc/sys/$name ]] || continue
    echo "${setting#*=}" >"$1/${name//\//.}"
    mount --bind "$1/${name//\//.}" "/proc/sys/$name" || return 1
  done
}
