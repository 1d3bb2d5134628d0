#!/usr/bin/env bash
# Copies the third-party headers and static libraries that the build needs into a folder, for a machine that has a
# compiler and CMake but no package manager and no network:
#   tools/bundle_deps.sh [FOLDER]      # default: .deps, which CMake takes by itself; another one with -DISOLOSS_DEPS=
# Run it where the packages of tools/dependencies.sh are installed. A folder that this script did not make is left alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/dependencies.sh
source tools/dependencies.sh

# What the sources include: header folders and files, then libraries, which are linked statically.
readonly HEADERS=(
  fmt CLI toml++ nlohmann doctest
  zlib.h zconf.h zstd.h zdict.h zstd_errors.h lzma.h lzma pcre2.h
)
readonly LIBRARIES=(libz.a liblzma.a libzstd.a libpcre2-8.a)
readonly LIBRARY_PACKAGES=(
  libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev doctest-dev
  zlib1g-dev libzstd-dev liblzma-dev libpcre2-dev
)

fail() {
  say "error: [bundle_deps.sh] $1"
  exit "${2:-1}"
}

# find_in NAME FOLDER...: the first of the folders' NAME that exists.
find_in() {
  local name=$1 folder
  shift
  for folder in "$@"; do
    if [ -e "$folder/$name" ]; then
      printf '%s\n' "$folder/$name"
      return 0
    fi
  done
  fail "expected $name in $*, got none; the packages are ${LIBRARY_PACKAGES[*]}"
}

versions() {
  local package
  for package in "${LIBRARY_PACKAGES[@]}"; do
    dpkg-query --show --showformat='${Package} ${Version} ${Architecture}\n' "$package" 2>/dev/null ||
      printf '%s unknown\n' "$package"
  done
}

main() {
  local folder=.deps multiarch name found
  case ${1:-} in
    --help)
      sed -n '2,5s/^# \{0,1\}//p' tools/bundle_deps.sh
      exit 0
      ;;
    -*) fail "expected a folder, got $1" 2 ;;
  esac
  [ $# -le 1 ] || fail "expected one folder, got $*" 2
  if [ -n "${1:-}" ]; then folder=$1; fi
  if [ -e "$folder" ] && [ ! -e "$folder/versions.txt" ]; then
    fail "expected a new folder or one that this script made, got $folder" 2
  fi

  multiarch=$("${CXX:-c++}" -print-multiarch 2>/dev/null || true)
  local include=(/usr/local/include /usr/include "/usr/include/$multiarch")
  local lib=(/usr/local/lib "/usr/lib/$multiarch" /usr/lib)

  # Not a local: the trap outlives this function.
  made=$folder.tmp
  rm -rf "$made"
  trap 'rm -rf "$made"' EXIT
  mkdir -p "$made/include" "$made/lib"
  for name in "${HEADERS[@]}"; do
    found=$(find_in "$name" "${include[@]}")
    cp -RL "$found" "$made/include/"
  done
  for name in "${LIBRARIES[@]}"; do
    found=$(find_in "$name" "${lib[@]}")
    cp -L "$found" "$made/lib/"
  done
  versions >"$made/versions.txt"
  rm -rf "$folder"
  mv "$made" "$folder"
  say "$folder: $(du -sh "$folder" | cut -f1), $(find "$folder" -type f | wc -l) files"
}

main "$@"
