#!/bin/bash
# hack/docs.sh: writes the documents that are generated, from the tables that they are generated from:
# packaging/config.yaml, packaging/crispd.8 and docs/configuration.md (config_schema.h), and docs/metrics.md
# (metrics/names.h). The tests fail while one of them is not what its table says.
set -euo pipefail
. "$(dirname "$0")/lib/usage.sh"
answer_help "$@"
cd "$(dirname "$0")/.."
[[ -f build/build.ninja ]] || cmake --preset dev >/dev/null
cmake --build --preset dev --target cri_config_test metrics_test
export CRISP_WRITE_DOCUMENTS=1
build/tests/cri_config_test --gtest_brief=1 --gtest_filter='ConfigDocsTest.*'
build/tests/metrics_test --gtest_brief=1 --gtest_filter='MetricsDocsTest.*'
git diff --stat -- packaging docs
