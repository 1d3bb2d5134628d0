#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that this machine can run.
#   ISOLOSS_BUILD_DIR   build folder (default: build)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/dependencies.sh
source tools/dependencies.sh

if [ $# -gt 0 ]; then
  if [ "$1" = --help ]; then
    sed -n '2,3s/^# *//p' "$0"
    exit 0
  fi
  say "error: [test.sh] expected no arguments, got $1"
  exit 2
fi

build=${ISOLOSS_BUILD_DIR:-build}
install_dependencies
say "Building in $build"
configure "$build" -DISOLOSS_TESTS=ON -DISOLOSS_CUDA=AUTO -DISOLOSS_UNITY=ON
cmake --build "$build" --parallel "$(nproc)" >&2
say "Testing"
# Those that use all processors, or measure, run alone (tests/CMakeLists.txt).
exec ctest --test-dir "$build" --parallel "$(nproc)" --output-on-failure --no-tests=error
