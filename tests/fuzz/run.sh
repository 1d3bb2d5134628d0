#!/usr/bin/env bash
# Fuzzes for long: tests/fuzz/run.sh [EXECUTIONS [PROGRAMS]]
#
# EXECUTIONS (default 1000000) are split over the targets, slow ones get fewer. PROGRAMS is a folder with the programs
# (build/bin); without it they are built in build-fuzz, with clang's libFuzzer and sanitizers where clang++ is installed,
# else with the compiler at hand and the driver of this folder. Ends at the first finding with exit code 1 and leaves the
# input in build-fuzz/findings; the program with that file as its argument repeats it. SEED=n tries other inputs.
set -euo pipefail
cd "$(dirname "$0")/../.."
executions=${1:-1000000}
programs=${2:-}
[[ $executions =~ ^[0-9]+$ ]] || { echo "error: [EXECUTIONS] expected a whole number, got $executions" >&2; exit 2; }

# Of a thousand executions.
shares="safetensors_header:390 toml:330 config:90 csv_rows:30 run_folder:30 suite:30 tokenizer_changed:30
        safetensors:30 csv:20 documents:10 shard:5 tokenizer_json:5"

if [[ -z $programs ]]; then
  programs=build-fuzz/bin
  if command -v clang++ > /dev/null; then
    cmake --preset release -B build-fuzz -DCMAKE_BUILD_TYPE=Fuzz -DISOLOSS_CUDA=OFF -DISOLOSS_WARNINGS_FAIL=OFF \
      -DCMAKE_CXX_COMPILER=clang++ -DISOLOSS_FUZZ=ON \
      "-DCMAKE_CXX_FLAGS=-O1 -g1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" > /dev/null
  else
    cmake --preset release -B build-fuzz -DISOLOSS_CUDA=OFF > /dev/null
  fi
  cmake --build build-fuzz --target fuzz_all > /dev/null
fi

findings=build-fuzz/findings
mkdir -p "$findings"
for share in $shares; do
  target=${share%:*}
  count=$((executions * ${share#*:} / 1000))
  ((count > 0)) || continue
  begin=$SECONDS
  corpus=()
  [[ ! -d tests/fuzz/corpus/$target ]] || corpus=("tests/fuzz/corpus/$target")
  grown=$findings/corpus_$target  # libFuzzer adds inputs to the first folder
  mkdir -p "$grown"
  if ! nice "$programs/fuzz_$target" -runs="$count" -seed="${SEED:-1}" -max_len=1024 \
    -artifact_prefix="$findings/${target}_" "$grown" "${corpus[@]}" > "$findings/$target.log" 2>&1; then
    echo "finding in $target; the input: $findings/${target}_*, what was said:" >&2
    tail -n 20 "$findings/$target.log" >&2
    exit 1
  fi
  echo "$target: $count executions, $((SECONDS - begin)) s"
done
