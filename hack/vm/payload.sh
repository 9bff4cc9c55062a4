# Sourced by hack/vm.sh. The second disk of a machine: what of the tree it takes along.

# make_payload IMAGE DRIVER COMMAND...: the tree that the machine sees, without debug information.
make_payload() {
  local image=$1 driver=$2 tree file name
  shift 2
  tree=$work/tree
  mkdir -p "$tree"/{.vm,build}
  cp -a "$root"/{docs,hack,test} "$tree/"
  if compgen -G "$root/build/crisp_*.deb" >/dev/null; then cp "$root"/build/crisp_*.deb "$tree/build/"; fi
  for name in bin e2e tests; do
    mkdir -p "$tree/build/$name"
    for file in "$root/build/$name"/*; do
      [[ -f $file && -x $file ]] || { [[ $file != *.tar ]] || cp "$file" "$tree/build/$name/"; continue; }
      strip -o "$tree/build/$name/${file##*/}" "$file"
    done
  done
  mkdir -p "$tree/build/tools" "$tree/build/critest-images"
  if [[ -d $root/build/tools/bin ]]; then cp -al "$root/build/tools/bin" "$tree/build/tools/"; fi
  if [[ -x $root/build/tools/kubernetes/bin/kubelet ]]; then cp -l "$root/build/tools/kubernetes/bin/kubelet" "$tree/build/tools/bin/"; fi
  for name in storage stamp; do
    [[ ! -e $root/build/critest-images/$name ]] || cp -a "$root/build/critest-images/$name" "$tree/build/critest-images/"
  done
  # What else the command takes: paths in this tree, separated by spaces.
  for name in ${CRISP_VM_WITH:-}; do
    mkdir -p "$tree/$(dirname "$name")"
    cp -a "$root/$name" "$tree/$name"
  done
  printf 'export CRISP_VM_ROOT=%q CRISP_CGROUP_DRIVER=%q CRISP_TEST_TIME_FACTOR=10\n' "$root" "$driver" \
    >"$tree/.vm/environment"
  printf '%q ' "$@" >"$tree/.vm/command"
  truncate -s 3G "$image"
  mkfs.ext4 -q -F -O ^has_journal -d "$tree" "$image"
  rm -rf "$tree"
}
