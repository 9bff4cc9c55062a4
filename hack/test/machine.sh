# Sourced by hack/test.sh, in the tree's root. Stages in emulated machines: `vm` boots them, and there it runs
# the stages `machine` and `labelled`.

stage_vm() {
  hack/deps.sh vm && hack/tools.sh && hack/critest-images.sh && hack/kubernetes.sh && hack/package.sh dev || return 1
  local driver failed=0
  for driver in cgroupfs systemd; do
    echo "--- machine $driver/apparmor"
    hack/vm.sh run --driver "$driver" -- hack/test.sh machine || failed=1
  done
  echo "--- machine cgroupfs/selinux"
  hack/vm.sh run --lsm selinux -- hack/test.sh labelled || failed=1
  echo "--- a node moves from containerd to the package and back"
  hack/vm.sh run -- test/e2e/machine/migration.sh || failed=1
  return $failed
}

# piece NAME COMMAND...: one part of a stage here. The stage's log is long, so what failed is said at its end.
piece() {
  local name=$1 begun=$SECONDS
  shift
  echo "--- $name"
  "$@" || failed+=("$name")
  echo "--- $name took $((SECONDS - begun)) s"
}

# whole STAGE: fails with the names of its pieces that failed.
whole() {
  [[ ${#failed[@]} == 0 ]] || echo "=== $1: FAILED: ${failed[*]}"
  [[ ${#failed[@]} == 0 ]]
}

# Inside the machine of hack/vm.sh.
stage_machine() {
  local failed=() name
  for name in apparmor_root selinux_root cgroup_root hardening_root host_paths_root shim_broker_root shim shim_versions \
      bridge_network_root cni_network_root pod_manager_root; do
    piece "${name}_test" "build/tests/${name}_test" --gtest_brief=1
  done
  piece cgroups.sh test/e2e/machine/cgroups.sh
  piece e2e stage_e2e
  piece critest stage_critest
  whole machine
}

# Inside the one with SELinux.
stage_labelled() {
  local failed=()
  piece selinux_root_test build/tests/selinux_root_test --gtest_brief=1
  piece selinux_e2e env "CRISP_E2E_IMAGE=$(make_e2e_image)" CRISP_BIN=build/bin build/e2e/selinux_e2e --gtest_brief=1
  piece critest stage_critest
  whole labelled
}
