#!/usr/bin/env bash
# Plants bugs in the sources one at a time, in a copy, and says which of them the tests find.
#
#   tests/planted/run.sh            every bug that was not found yet
#   tests/planted/run.sh NAME...    these, found before or not
#   tests/planted/run.sh --list     names, test programs, cases and files
#
#   ISOLOSS_PLANTED_DIR   folder of the copy, its build and the results (default: build-planted); remove it to begin anew
#   ISOLOSS_JOBS          compilers at a time (default: all processors)
#
# Exit code 0 when at least 95 % of the bugs are caught, 1 when fewer are or something else went wrong.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
work=${ISOLOSS_PLANTED_DIR:-$root/build-planted}
jobs=${ISOLOSS_JOBS:-$(nproc)}
readonly kSeconds=600 # for one program on one bug: what runs longer hangs, which is found, too

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "error: [planted] $*"
  exit 1
}

if [ "${1:-}" = --help ]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit 0
fi

mkdir -p "$work"
work=$(cd "$work" && pwd)
results=$work/results
source=$work/source
build=$source/build
touch "$results"

# The sources as they are now. Files that did not change keep their time, so that nothing is compiled again.
copy_sources() {
  local file
  git ls-files -z --cached --others --exclude-standard >"$work/files"
  while IFS= read -r -d '' file; do
    if [ ! -f "$file" ]; then
      rm -f "$source/$file"
    elif ! cmp -s "$file" "$source/$file"; then
      mkdir -p "$source/$(dirname "$file")"
      cp "$file" "$source/$file"
    fi
  done <"$work/files"
  (cd "$source" && comm -z -13 <(sort -z "$work/files") <(find . -path ./build -prune -o -type f -printf '%P\0' | sort -z) |
    xargs -0 --no-run-if-empty rm)
}

compile() { nice ninja -C "$build" -j "$jobs" "$@" >"$work/build.log" 2>&1; }

# run_cases PROGRAM CASES LOG: the exit code of the test program, 99 where no case has such a name.
run_cases() {
  local code=0
  (cd "$source" && nice timeout "$kSeconds" "$build/bin/$1" --test-case="$2" --abort-after=1) >"$3" 2>&1 || code=$?
  if [ "$code" = 0 ] && grep -q 'test cases: *0 ' "$3"; then code=99; fi
  return "$code"
}

# The cases must pass while nothing is planted, or they would find everything.
declare -A sound=()
check_sound() {
  local program=$1 cases=$2
  if [ -n "${sound[$program $cases]:-}" ]; then return; fi
  compile "$program" || fail "expected sources that compile, see $work/build.log"
  say "$program, $cases: without a bug"
  run_cases "$program" "$cases" "$work/sound.log" ||
    fail "expected $program -tc='$cases' to pass without a bug, see $work/sound.log"
  sound[$program $cases]=yes
}

forget() { sed -i "/^$1 /d" "$results"; }

try() {
  local name=$1 program=$2 cases=$3 file=$4 code=0
  check_sound "$program" "$cases"
  cp "$source/$file" "$work/original"
  "$build/bin/plant_bug" "$name" "$source" || exit 1
  if ! compile "$program"; then
    cp "$work/original" "$source/$file"
    cp "$work/build.log" "$work/logs/$name"
    say "error: [planted] expected $name to compile, see $work/logs/$name"
    return
  fi
  run_cases "$program" "$cases" "$work/logs/$name" || code=$?
  cp "$work/original" "$source/$file"
  forget "$name"
  if [ "$code" = 0 ]; then
    printf '%s survived\n' "$name" >>"$results"
  else
    printf '%s caught\n' "$name" >>"$results"
  fi
  say "$(tail -n 1 "$results")"
}

mkdir -p "$source" "$work/logs"
copy_sources
if [ ! -f "$build/build.ninja" ]; then
  deps=()
  if [ -d "$root/.deps" ]; then deps=(-DISOLOSS_DEPS="$root/.deps"); fi
  if command -v ccache >/dev/null; then deps+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DISOLOSS_CUDA=OFF "${deps[@]}" \
    >"$work/configure.log" 2>&1 || fail "expected a build that can be configured, see $work/configure.log"
fi
compile plant_bug || fail "expected sources that compile, see $work/build.log"
"$build/bin/plant_bug" --list >"$work/list"
if [ "${1:-}" = --list ]; then
  cat "$work/list"
  exit 0
fi

for name in "$@"; do
  grep -q "^$name"$'\t' "$work/list" || fail "expected the name of a bug (--list shows them), got $name"
done
while IFS=$'\t' read -r -u 3 name program cases file; do
  if [ $# -gt 0 ]; then
    case " $* " in *" $name "*) ;; *) continue ;; esac
  elif grep -qx "$name caught" "$results"; then
    continue
  fi
  try "$name" "$program" "$cases" "$file"
done 3<"$work/list"

all=$(wc -l <"$work/list")
caught=$(grep -cxFf <(cut -f 1 "$work/list" | sed 's/$/ caught/') "$results" || true)
grep -xFf <(cut -f 1 "$work/list" | sed 's/$/ survived/') "$results" || true
printf '%d of %d planted bugs caught\n' "$caught" "$all"
[ $((100 * caught)) -ge $((95 * all)) ]
