#!/bin/bash
# hack/docs.sh: writes the documents that are generated, from the tables that they are generated from:
# packaging/config.yaml, packaging/crispd.8 and docs/configuration.md (config_schema.h). The tests fail while
# one of them is not what its table says.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ -f build/build.ninja ]] || cmake --preset dev >/dev/null
cmake --build --preset dev --target cri_config_test
CRISP_WRITE_DOCUMENTS=1 build/tests/cri_config_test --gtest_brief=1 --gtest_filter='ConfigDocsTest.*'
git diff --stat -- packaging docs
