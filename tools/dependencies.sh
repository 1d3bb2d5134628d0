# Sourced by quickstart.sh and test.sh: sees to it that the libraries and build tools are there.
# shellcheck shell=bash

# Packages of Debian 12 and Ubuntu 24.04, by the same names.
readonly ISOLOSS_PACKAGES=(
  cmake ninja-build g++ pkg-config
  libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev doctest-dev
  zlib1g-dev libzstd-dev liblzma-dev libpcre2-dev
)

say() { printf '%s\n' "$*" >&2; }

# Prints the packages that are not installed, one a line.
missing_packages() {
  local package
  for package in "${ISOLOSS_PACKAGES[@]}"; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      printf '%s\n' "$package"
  done
}

on_terminal() { [ -t 0 ]; }

# Whether sudo is there and either wants no password or can ask for it.
can_sudo() { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || on_terminal; }; }

# Installs what is missing. Where that is not allowed, says which command would do it, and fails with nothing done.
install_dependencies() {
  if ! command -v dpkg-query >/dev/null; then
    say "error: [dependencies] expected Debian 12 or Ubuntu 24.04, got a system without dpkg; needed: ${ISOLOSS_PACKAGES[*]}"
    return 1
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  if [ "${#missing[@]}" -eq 0 ]; then return 0; fi
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! can_sudo; then
      say "error: [dependencies] expected root or sudo to install packages, got neither; as root, run:"
      say "  apt-get install -y --no-install-recommends ${missing[*]}"
      return 1
    fi
    as_root=(sudo)
  fi
  say "Installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
}

# configure FOLDER [cmake option...]: the release preset, with ccache where it is installed.
configure() {
  local folder=$1
  shift
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake --preset release -B "$folder" "${launcher[@]}" "$@" >&2
}
