#!/usr/bin/env bash
# From a fresh clone to a table of compute-equivalent gains, measured on this machine:
#   tools/quickstart.sh [--text FILE]
# Installs what is missing, builds, trains the demo suite on the built-in stories (or on FILE), prints the table and
# writes runs/quickstart/report/index.html. Run again, it goes on where it was.
#   ISOLOSS_BUILD_DIR   build folder (default: build)
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/dependencies.sh
source tools/dependencies.sh

fail_usage() {
  say "error: [quickstart.sh] $1"
  exit 2
}

text=
while [ $# -gt 0 ]; do
  case $1 in
    --help)
      sed -n '2,6s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --text)
      [ $# -ge 2 ] || fail_usage "expected a file after --text, got nothing"
      text=$2
      shift 2
      ;;
    *) fail_usage "expected --text FILE, got $1" ;;
  esac
done

build=${ISOLOSS_BUILD_DIR:-build}
input=builtin:stories:4
out=runs/quickstart
if [ -n "$text" ]; then
  case $text in /*) ;; *) text=$called_from/$text ;; esac
  [ -r "$text" ] || fail_usage "expected a readable file after --text, got $text"
  input=$text
  # Every text has a folder of its own, named by its content, so that no run is continued on other data.
  out=runs/quickstart-$(sha256sum <"$text" | cut -c1-12)
fi

install_dependencies
say "Building in $build"
# The cuda device only where there is a GPU, and for that GPU alone: its kernels take longer to compile than all else.
cuda=(-DISOLOSS_CUDA=OFF)
if nvidia-smi -L >/dev/null 2>&1; then cuda=(-DISOLOSS_CUDA=AUTO -DCMAKE_CUDA_ARCHITECTURES=native); fi
configure "$build" -DISOLOSS_TESTS=OFF -DISOLOSS_UNITY=ON "${cuda[@]}"
cmake --build "$build" --parallel "$(nproc)" --target tokenize train sweep ceg evaluate generate >&2
programs=$build/bin

data=$out/data
if [ ! -e "$data/meta.json" ]; then
  say "Tokenizing $input"
  "$programs/tokenize" "$input" --tokenizer bpe:512 --out "$data"
fi

say "Training the demo suite (a few minutes); Ctrl-C stops it, the same command goes on"
"$programs/sweep" models/suites/demo.toml --out "$out/sweep" --jobs "$(nproc)" \
  --set "data.train=$data/train_*.bin" --set "data.val=$data/val_*.bin" >/dev/null

"$programs/ceg" "$out/sweep" --baseline baseline --report "$out/report"
say "Report: $out/report/index.html"
