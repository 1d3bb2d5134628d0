#!/usr/bin/env bash
# Checks and measures everything on this machine's GPU, in about ten minutes on 16 cores:
#   tools/gpu_check.sh [--out DIR] [--minutes N] [--data DIR] [--built]
# Builds for the GPU's architecture alone, runs every kernel test against the specification, training runs against ref,
# 124M training for a minute on generated text or on the shards train_*.bin and val_*.bin of --data, its profile, the
# same model beside PyTorch where python3 has one that sees the GPU, bench (training, attention, operations, products),
# and compute-sanitizer on every kernel of ours. Needs a GPU, nvcc, a C++20 compiler and CMake; the libraries come from .deps/
# (tools/bundle_deps.sh) or from the system. No package manager, no network. With --built nothing is compiled: the
# programs are in the build folder already, and of the above only the GPU is needed.
# Writes gpu_check.json, gpu_check.md and logs/ to DIR (default build-gpu/check), after every step anew, and goes on after
# a step that fails; exit code 1 if one did.
#   ISOLOSS_BUILD_DIR         build folder (default: build-gpu)
#   ISOLOSS_COMMIT            the commit, for sources that travelled without their history
#   ISOLOSS_SANITIZER_CASES   test cases that compute-sanitizer sees, in doctest's form
set -uo pipefail

readonly TRAINING_SECONDS=60
readonly COMPARED_STEPS=200
readonly SANITIZERS=(memcheck synccheck initcheck racecheck)

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "error: [gpu_check.sh] $1"
  exit "${2:-1}"
}

# --- What is known of this run -------------------------------------------------------------------------------------

declare -a step_names=() step_status=() step_seconds=() step_details=() step_commands=()
declare -A fact=()
out='build-gpu/check'
minutes=10
started=$SECONDS
missing_bench="null"

# A string as JSON.
json_string() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  text=${text//[[:cntrl:]]/ }
  printf '"%s"' "$text"
}

# The file's contents when there are any, else null: bench writes whole files or none.
json_file() { if [ -s "$1" ]; then cat "$1"; else printf '%s' "$missing_bench"; fi; }

overall() {
  local status
  [ "${#step_status[@]}" -gt 0 ] || { printf 'failed' && return; }
  for status in "${step_status[@]}"; do
    case $status in passed | skipped) ;; *) printf 'failed' && return ;; esac
  done
  if [ "${finished:-no}" = yes ]; then printf 'passed'; else printf 'unfinished'; fi
}

write_json() {
  local i key
  printf '{\n'
  for key in device driver cuda nvcc compute_capability memory commit date host_compiler command; do
    printf '  "%s": %s,\n' "$key" "$(json_string "${fact[$key]:-unknown}")"
  done
  printf '  "status": "%s",\n  "seconds": %d,\n  "steps": [' "$(overall)" $((SECONDS - started))
  for i in "${!step_names[@]}"; do
    [ "$i" -eq 0 ] || printf ','
    printf '\n    {"name": %s, "status": "%s", "seconds": %s, "detail": %s, "command": %s, "log": %s}' \
      "$(json_string "${step_names[$i]}")" "${step_status[$i]}" "${step_seconds[$i]}" \
      "$(json_string "${step_details[$i]}")" "$(json_string "${step_commands[$i]}")" \
      "$(json_string "logs/${step_names[$i]}.log")"
  done
  printf '\n  ],\n  "bench": {'
  printf '\n"operations": ' && json_file "$out/bench-operations.json"
  printf ',\n"attention": ' && json_file "$out/bench-attention.json"
  printf ',\n"products": ' && json_file "$out/bench-products.json"
  printf ',\n"training": ' && json_file "$out/bench-training.json"
  printf ',\n"training_350m": ' && json_file "$out/bench-training-350m.json"
  printf '\n  },\n  "pytorch": {'
  printf '\n"training": ' && json_file "$out/pytorch-124m.json"
  printf ',\n"training_350m": ' && json_file "$out/pytorch-350m.json"
  printf ',\n"attention": ' && json_file "$out/pytorch-attention.json"
  printf '\n  },\n  "training_124m": '
  if [ -s "$out/train-124m.jsonl" ]; then
    printf '{"first": %s, "last": %s}' "$(head -n 1 "$out/train-124m.jsonl")" "$(tail -n 1 "$out/train-124m.jsonl")"
  else
    printf 'null'
  fi
  printf '\n}\n'
}

# log_section TITLE STEP: the log of a step, if it left one.
log_section() {
  [ -s "$out/logs/$2.log" ] || return 0
  printf '\n## %s\n\n```\n' "$1"
  tail -n "${3:-200}" "$out/logs/$2.log" | tr -d '\r'
  printf '```\n'
}

write_markdown() {
  local i
  printf '# GPU check: %s\n\n' "$(overall)"
  printf '| | |\n|---|---|\n'
  for i in device driver cuda nvcc compute_capability memory commit date host_compiler command; do
    printf '| %s | %s |\n' "${i//_/ }" "${fact[$i]:-unknown}"
  done
  printf '\n| step | result | seconds | |\n|---|---|---|---|\n'
  for i in "${!step_names[@]}"; do
    printf '| %s | %s | %s | %s |\n' "${step_names[$i]}" "${step_status[$i]}" "${step_seconds[$i]}" "${step_details[$i]//|/\\|}"
  done
  log_section "124M for $TRAINING_SECONDS seconds" train-124m 20
  log_section "Where the time of a step goes, 124M" profile-124m
  log_section "Training step, 124M" bench-training
  log_section "Training step, 350M" bench-training-350m
  log_section "PyTorch, 124M" pytorch-124m 40
  log_section "$COMPARED_STEPS steps beside PyTorch" compare-124m
  log_section "PyTorch, 350M" pytorch-350m 40
  log_section "Attention" bench-attention
  log_section "Attention of PyTorch" pytorch-attention
  log_section "Operations" bench-operations
  log_section "Matrix products" bench-products
  for i in "${!step_names[@]}"; do
    case ${step_names[$i]} in bench-* | train-* | profile-* | pytorch-* | compare-*) continue ;; esac
    if [ "${step_status[$i]}" = failed ]; then log_section "Log of ${step_names[$i]}" "${step_names[$i]}" 40; fi
  done
}

# Both pages, whole or not at all.
write_pages() {
  write_json >"$out/gpu_check.json.tmp" && mv "$out/gpu_check.json.tmp" "$out/gpu_check.json"
  write_markdown >"$out/gpu_check.md.tmp" && mv "$out/gpu_check.md.tmp" "$out/gpu_check.md"
}

# book NAME STATUS SECONDS DETAIL COMMAND
book() {
  step_names+=("$1") step_status+=("$2") step_seconds+=("$3") step_details+=("$4") step_commands+=("$5")
  say "$1: $2${4:+, $4} ($3 s)"
  write_pages
}

# --- Steps ---------------------------------------------------------------------------------------------------------

# What a log says of itself in one line: doctest's count, or the last line that is not empty.
last_words() {
  local line
  line=$(grep -a '^\[doctest\] test cases:' "$1" | tail -n 1 | tr -s ' ')
  [ -n "$line" ] || line=$(grep -a -v '^[[:space:]]*$' "$1" | tail -n 1)
  printf '%s' "${line:0:200}"
}

declare -A pid_of=() begin_of=() limit_of=() command_of=()

# start NAME LIMIT COMMAND...: runs it in the background for at most LIMIT seconds (of a run of ten minutes; scaled),
# output to its log. Without time left the step is booked as failed.
start() {
  local name=$1 limit=$(($2 * minutes / 10)) left=$((minutes * 60 - (SECONDS - started)))
  shift 2
  if [ "$left" -lt 1 ]; then
    : >"$out/logs/$name.log"
    book "$name" failed 0 "no time left of $minutes minutes" "$*"
    return 1
  fi
  if [ "$limit" -gt "$left" ]; then limit=$left; fi
  if [ "$limit" -lt 1 ]; then limit=1; fi
  say "$name: at most $limit s"
  begin_of[$name]=$SECONDS limit_of[$name]=$limit command_of[$name]="$*"
  timeout --kill-after=10 "$limit" "$@" >"$out/logs/$name.log" 2>&1 </dev/null &
  pid_of[$name]=$!
}

# finish NAME: waits for it and books what became of it. Exit codes in `accepted` count as success; `verify` LOG may name
# what is wrong although the code is right, `excuse` LOG why a failure is none; all three hold for one step.
accepted=0 verify='' excuse=''
finish() {
  local name=$1 log=$out/logs/$1.log code=0 status detail wrong
  wait "${pid_of[$name]}" || code=$?
  unset "pid_of[$name]"
  detail=$(last_words "$log")
  case " $accepted " in
    *" $code "*)
      status=passed
      if [ -n "$verify" ] && wrong=$("$verify" "$log") && [ -n "$wrong" ]; then status=failed detail=$wrong; fi
      ;;
    *)
      status=failed
      if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
        detail="stopped after ${limit_of[$name]} s; last: $detail"
      else
        detail="exit code $code; $detail"
      fi
      if [ -n "$excuse" ] && wrong=$("$excuse" "$log") && [ -n "$wrong" ]; then status=skipped detail=$wrong; fi
      ;;
  esac
  accepted=0 verify='' excuse=''
  book "$name" "$status" $((SECONDS - begin_of[$name])) "$detail" "${command_of[$name]}"
  [ "$status" = passed ]
}

step() { start "$@" && finish "$1"; }

# Ends what is running, and leaves the pages as they stand.
interrupted() {
  [ "${#pid_of[@]}" -eq 0 ] || kill "${pid_of[@]}"
  write_pages
  exit 130
}

# A filter that matches nothing passes every test: that is a failure.
ran_some_tests() {
  if ! grep -a -q '^\[doctest\] test cases: *[1-9]' "$1"; then printf 'no test case ran'; fi
}
found_errors() {
  local line
  ran_some_tests "$1"
  line=$(grep -a 'ERROR SUMMARY' "$1" | tail -n 1)
  case $line in *': 0 errors'* | *' 0 hazards'* | '') ;; *) printf '%s' "$line" ;; esac
}
sanitizer_refused() {
  if grep -a -q -i -E 'Device not supported|Unable to find injection library|Unsupported (device|driver)' "$1"; then
    printf 'compute-sanitizer does not work on this machine'
  fi
}
loss_fell() {
  local first last
  [ -s "$out/train-124m.jsonl" ] || { printf 'no step was logged' && return; }
  first=$(head -n 1 "$out/train-124m.jsonl" | sed -n 's/.*"loss": *\([-0-9.e+]*\).*/\1/p')
  last=$(tail -n 1 "$out/train-124m.jsonl" | sed -n 's/.*"loss": *\([-0-9.e+]*\).*/\1/p')
  if ! awk -v a="$first" -v b="$last" 'BEGIN { exit !(a != "" && b != "" && b + 0 < a + 0) }'; then
    printf 'the loss went from %s to %s' "${first:-nothing}" "${last:-nothing}"
  fi
}

gather_facts() {
  local query
  query=$(nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
  IFS=',' read -r 'fact[device]' 'fact[driver]' 'fact[memory]' 'fact[compute_capability]' <<<"${query//, /,}"
  fact[nvcc]=$("$nvcc" --version 2>/dev/null | sed -n 's/^.*release \([0-9.]*\), \(V[0-9.]*\).*$/\2/p' | tail -n 1)
  fact[cuda]=$(nvidia-smi 2>/dev/null | sed -n 's/^.*CUDA Version: *\([0-9.]*\).*$/\1/p' | head -n 1)
  # What the caller says counts: sources that travelled may stand on another commit than theirs.
  if [ -n "${ISOLOSS_COMMIT:-}" ]; then
    fact[commit]=$ISOLOSS_COMMIT
  else
    fact[commit]=$(git rev-parse HEAD 2>/dev/null || printf unknown)
    if [ -n "$(git status --porcelain --untracked-files=no 2>/dev/null)" ]; then fact[commit]+=" with changes"; fi
  fi
  fact[date]=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  fact[host_compiler]=$("${CXX:-c++}" --version 2>/dev/null | head -n 1)
}

# A GPU, nvcc, a compiler, CMake and the libraries, or one line that says what is missing.
expect_machine() {
  nvidia-smi -L 2>/dev/null | grep -q '^GPU 0' || fail "expected an NVIDIA GPU (nvidia-smi -L), got none"
  nvcc=$(command -v "${CUDACXX:-nvcc}" || command -v /usr/local/cuda/bin/nvcc)
  if [ "$built" = yes ]; then
    "$bin/train" --version >/dev/null || fail "expected programs that run here in $bin, got none"
    return 0
  fi
  [ -n "$nvcc" ] || fail "expected nvcc, got none in PATH, CUDACXX or /usr/local/cuda/bin"
  command -v cmake >/dev/null || fail "expected cmake, got none"
  command -v "${CXX:-c++}" >/dev/null || fail "expected a C++ compiler, got none"
  if [ ! -e .deps/versions.txt ] && [ ! -e /usr/include/fmt/format.h ]; then
    fail "expected the libraries in .deps/ (tools/bundle_deps.sh fills it where they are installed), got none"
  fi
}

# Makes NVIDIA's libraries findable: the toolkit's, and where that is a compiler alone, those that Python's packages
# bring, with their headers. Searched last. PyTorch keeps the path that it had: its own libraries are of other versions.
python=(python3)
find_libraries() {
  local root folders libraries headers=''
  python=(env "LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}" python3)
  root=$(dirname "$(dirname "$(realpath "${nvcc:-/usr/local/cuda/bin/nvcc}")")")
  libraries=$(compgen -G "$root/lib*" | paste -s -d :)
  if ! compgen -G "$root/lib*/libcublasLt.so.*" >/dev/null || ! compgen -G "$root/lib*/libcudnn.so.*" >/dev/null ||
    [ ! -e "$root/include/cublasLt.h" ]; then
    folders=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)
    if [ -n "$folders" ]; then
      libraries+=:$(compgen -G "$folders/*/lib" | paste -s -d :)
      headers=$(compgen -G "$folders/*/include" | paste -s -d :)
    fi
  fi
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries
  if [ -z "$headers" ]; then return 0; fi
  export CPLUS_INCLUDE_PATH=${CPLUS_INCLUDE_PATH:+$CPLUS_INCLUDE_PATH:}$headers
  export CMAKE_INCLUDE_PATH=${CMAKE_INCLUDE_PATH:+$CMAKE_INCLUDE_PATH:}$headers
}

# Every test case of PROGRAM in a process of its own, JOBS at a time: after a kernel that fails, its process can use the
# GPU no more. Prints what failed, and counts as doctest does.
run_cases() {
  local program=$1 jobs=$2 listing count passed
  listing=$("$program" --count 2>&1)
  count=$(sed -n 's/^.*current filters: *\([0-9]*\).*$/\1/p' <<<"$listing")
  if [ -z "$count" ]; then
    printf '%s\n' "$listing"
    return 1
  fi
  # shellcheck disable=SC2016
  passed=$(seq "$count" | xargs -P "$jobs" -I '{}' bash -c '
    said=$("$1" --first="$2" --last="$2" 2>&1)
    code=$?
    if [ "$code" -eq 0 ] && grep -a -q "Status: SUCCESS" <<<"$said"; then echo passed && exit; fi
    printf "%s\n(test case %s of %s, exit code %s)\n" "$said" "$2" "$1" "$code" >&2
  ' case "$program" '{}' | wc -l)
  printf '[doctest] test cases: %s | %s passed | %s failed\n' "$count" "$passed" $((count - passed))
  [ "$passed" -eq "$count" ]
}
export -f run_cases

# All four tools at once: none of them measures. Every kernel on its small cases, launched once each; what the library's
# products read without need (initcheck) is its business.
run_sanitizer() {
  local tool sanitizer cases
  local op own=''
  # The cases that have the name of an operation are the small ones. Those that call the library are added below.
  for op in $(sed -n 's/^ISOLOSS_OP(\(.*\))$/\1/p' kernels/ops/ops.inc); do
    case $op in
      linear) ;;
      classifier) own+=',cross_entropy' ;;
      attention) own+=',attention_flash,attention_flash: wide heads,attention_cached' ;;
      *) own+=",$op,add_$op" ;;
    esac
  done
  own=${own#,}
  sanitizer=$(command -v compute-sanitizer || command -v "$(dirname "$nvcc")/compute-sanitizer")
  for tool in "${SANITIZERS[@]}"; do
    if [ -z "$sanitizer" ]; then
      : >"$out/logs/sanitizer-$tool.log"
      book "sanitizer-$tool" skipped 0 "compute-sanitizer is not installed" "compute-sanitizer --tool $tool"
    else
      cases=$own
      [ "$tool" = initcheck ] || cases+=',linear: layouts*,classifier,attention_naive'
      cases=${ISOLOSS_SANITIZER_CASES:-$cases}
      start "sanitizer-$tool" 120 env ISOLOSS_ONCE=1 "$sanitizer" --tool "$tool" --error-exitcode 99 "$bin/test_gpu" "-tc=$cases"
    fi
  done
  for tool in "${SANITIZERS[@]}"; do
    [ -n "${pid_of[sanitizer-$tool]:-}" ] || continue
    verify=found_errors excuse=sanitizer_refused
    finish "sanitizer-$tool"
  done
}

run_bench() {
  local what=$1 limit=$2
  shift 2
  step "bench-$what" "$limit" "$bin/bench" "$@" --device cuda --json "$out/bench-$what.json"
}

# The shards to train on: --data's, else generated text.
prepare_tokens() {
  tokens=$data settings=()
  if [ -z "$tokens" ]; then
    tokens=$build/check-tokens
    if ! compgen -G "$tokens/train_*.bin" >/dev/null; then
      step tokenize 30 "$bin/tokenize" builtin:stories:16 --tokenizer bytes --out "$tokens" || return 1
      rm -f "$tokens/meta.json" "$tokens/tokenizer.json"  # so that the model keeps GPT-2's vocabulary
    fi
  elif [ -e "$tokens/meta.json" ] || [ -e "$tokens/tokenizer.json" ]; then
    settings=(--set model.vocab=0)
  fi
  settings+=(--set "data.train=$tokens/train_*.bin" --set "data.val=$tokens/val_*.bin" --set run.precision=bf16
    --set schedule.warmup_steps=10 --set run.log_every=1 --set run.eval_every=0 --set run.checkpoint_every=0)
}

# train_124m NAME LIMIT COMMAND… -- OPTIONS…: `train` of 124M in a folder of its own, under COMMAND…
train_124m() {
  local name=$1 limit=$2 around=()
  shift 2
  while [ "$1" != -- ]; do around+=("$1") && shift; done
  shift
  rm -rf "$build/check-$name"
  step "$name" "$limit" "${around[@]}" "$bin/train" gpt2-124m --device cuda --out "$build/check-$name" "${settings[@]}" "$@"
  local code=$?
  rm -rf "$build/check-$name/checkpoints" "$build/check-$name/model.safetensors"
  return "$code"
}

# Stops training after a minute, as a user's Ctrl-C would; then a few steps with the time of every operation.
run_training() {
  accepted="0 130" verify=training_went_well
  train_124m train-124m $((TRAINING_SECONDS + 60)) timeout --preserve-status -s INT "$TRAINING_SECONDS" -- \
    --set run.eval_tokens=262144
  train_124m profile-124m 60 -- --profile --set run.steps=8 --set run.eval_tokens=16384 --set run.batch_tokens=131072
}
training_went_well() {
  cp "$build/check-train-124m/log.jsonl" "$out/train-124m.jsonl" 2>/dev/null
  loss_fell
}

# The same weights and batches in PyTorch and here. What it compiles first is kept on disk and compiled while the
# kernels' tests run, which measure nothing.
readonly PYTORCH=tools/bench/pytorch.py
has_pytorch() { "${python[@]}" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; }
pytorch_train() { printf '%s\n' "${python[@]}" "$PYTORCH" train "gpt2-$1" --tokens "$tokens" --out "$out/pytorch-$1.json"; }
run_pytorch() {
  local command
  mapfile -t command < <(pytorch_train 124m)
  step pytorch-124m 150 "${command[@]}" --steps "$COMPARED_STEPS" --losses "$build/check-pytorch.jsonl" \
    --weights "$build/check-pytorch.safetensors" || return 1
  train_124m beside-124m 90 -- --init-from "$build/check-pytorch.safetensors" --set "run.steps=$COMPARED_STEPS" \
    --set run.batch_tokens=65536 --set run.eval_tokens=16384 &&
    step compare-124m 10 "${python[@]}" "$PYTORCH" compare "$build/check-beside-124m/log.jsonl" "$build/check-pytorch.jsonl"
  cp "$build/check-beside-124m/log.jsonl" "$out/beside-124m.jsonl" 2>/dev/null
  rm -f "$build/check-pytorch.safetensors"
}

configure_and_build() {
  local build_flags=() keep_going=-k root
  if command -v ninja >/dev/null; then
    build_flags=(-G Ninja)
    keep_going=-k0
  fi
  if [ -e .deps/versions.txt ]; then build_flags+=("-DISOLOSS_DEPS=$PWD/.deps"); fi
  root=$(dirname "$(dirname "$(realpath "$nvcc")")")
  if [ -e "$root/include/cuda_runtime.h" ]; then build_flags+=("-DCUDAToolkit_ROOT=$root"); fi
  # Another compiler has other warnings: they may not cost the whole check.
  step configure 60 cmake -S . -B "$build" "${build_flags[@]}" -DCMAKE_BUILD_TYPE=Release -DISOLOSS_TESTS=ON \
    -DISOLOSS_CUDA=ON "-DISOLOSS_NVCC=$nvcc" -DISOLOSS_WARNINGS_FAIL=OFF -DCMAKE_CUDA_ARCHITECTURES=native
  step build 300 cmake --build "$build" --parallel "$(nproc)" \
    --target train bench tokenize test_gpu test_gpu_training -- "$keep_going"
}

main() {
  local arguments="$*" settings=() tokens='' command
  data='' built=no
  while [ $# -gt 0 ]; do
    case $1 in
      --help)
        sed -n '2,/^set /{s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
      --built)
        built=yes
        shift
        ;;
      --out | --minutes | --data)
        [ $# -ge 2 ] || fail "expected a value after $1, got nothing" 2
        case $1 in
          --out) out=$(realpath -m "$2") ;;
          --minutes) minutes=$2 ;;
          --data) data=$(realpath -m "$2") ;;
        esac
        shift 2
        ;;
      *) fail "expected --out DIR, --minutes N, --data DIR or --built, got $1" 2 ;;
    esac
  done
  case $minutes in '' | *[!0-9]* | 0*) fail "expected minutes as a number of at least 1, got $minutes" 2 ;; esac
  if [ -n "$data" ] && ! compgen -G "$data/train_*.bin" >/dev/null; then
    fail "expected train_*.bin in --data, got none in $data" 2
  fi
  cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
  build=$(realpath -m "${ISOLOSS_BUILD_DIR:-build-gpu}")
  bin=$build/bin
  expect_machine
  find_libraries

  out=$(realpath -m "$out")
  mkdir -p "$out/logs" "$build" || fail "expected folders that can be written, got $out and $build"
  rm -f "$out"/bench-*.json "$out"/pytorch-*.json "$out"/*.jsonl "$out"/logs/*.log
  gather_facts
  fact[command]="tools/gpu_check.sh $arguments"
  trap interrupted INT TERM
  write_pages

  if [ "$built" = no ]; then configure_and_build; fi
  prepare_tokens
  if has_pytorch; then
    mapfile -t command < <(pytorch_train 124m)
    start pytorch-compile 150 "${command[@]}" --steps 2 --out "$build/check-compile.json"
  fi
  verify=ran_some_tests
  step kernels 120 bash -c 'run_cases "$@"' cases "$bin/test_gpu" 8
  verify=ran_some_tests
  step training 90 bash -c 'run_cases "$@"' cases "$bin/test_gpu_training" 4
  if [ -n "${pid_of[pytorch-compile]:-}" ]; then finish pytorch-compile; fi

  run_training
  run_bench training 45 train --config gpt2-124m
  if has_pytorch; then run_pytorch; fi
  run_bench attention 60 attention_flash attention_flash_backward --shapes attention
  run_bench operations 90
  run_sanitizer
  if has_pytorch; then step pytorch-attention 60 "${python[@]}" "$PYTORCH" attention --out "$out/pytorch-attention.json"; fi
  run_bench training-350m 45 train --config gpt2-350m
  if has_pytorch; then
    mapfile -t command < <(pytorch_train 350m)
    step pytorch-350m 150 "${command[@]}" --steps 15 --batch-tokens 32768
  fi
  run_bench products 60 gemm

  finished=yes
  write_pages
  say "$out/gpu_check.md: $(overall)"
  [ "$(overall)" = passed ]
}

# Sourced by its test, which runs the functions alone.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
