#!/bin/bash
# hack/package.sh [PRESET]: builds crisp_VERSION_ARCH.deb from the release preset (or PRESET), prints
# its path.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
cd "$(dirname "$0")/.."
preset=${1:-release}
build=build/$preset
[[ $preset != dev ]] || build=build

cmake --preset "$preset" >&2
cmake --build --preset "$preset" --target package_contents >&2
rm -rf "$build"/package "$build"/crisp_*.deb
cpack --config "$build/CPackConfig.cmake" -B "$build/package" >&2
mv "$build"/package/crisp_*.deb "$build/"
rm -rf "$build/package"
ls "$PWD/$build"/crisp_*.deb
