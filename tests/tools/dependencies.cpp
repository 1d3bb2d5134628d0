// tools/dependencies.sh: who may install, and what the others read. Nothing is installed here.
#include <doctest/doctest.h>

#include "tests/harness/process.h"

namespace isoloss::test {
namespace {

constexpr char kNobody[] = R"(
  source tools/dependencies.sh
  id() { echo 1000; }
  missing_packages() { printf '%s\n' libone-dev libtwo-dev; }
  apt-get() { echo "apt-get $*"; }
)";
constexpr char kNoSudo[] = "command() { [ \"$*\" != '-v sudo' ] && builtin command \"$@\"; }\n";
constexpr char kSudo[] = "command() { [ \"$*\" = '-v sudo' ] || builtin command \"$@\"; }\n";
constexpr char kAsksForPassword[] = "sudo() { if [ \"$1\" = -n ]; then return 1; fi; echo \"sudo $*\"; }\n";
constexpr char kAsksNothing[] = "sudo() { if [ \"$1\" = -n ]; then return 0; fi; echo \"sudo $*\"; }\n";
constexpr char kTerminal[] = "on_terminal() { return 0; }\n";
constexpr char kNoTerminal[] = "on_terminal() { return 1; }\n";
constexpr char kInstall[] = "install_dependencies";

ProcessResult in_bash(const std::string& script) { return run({"/bin/bash", "-c", script}); }

void check_refuses(const ProcessResult& result) {
  CHECK(result.exit_code == 1);
  CHECK(result.err ==
        "error: [dependencies] expected root or sudo to install packages, got neither; as root, run:\n"
        "  apt-get install -y --no-install-recommends libone-dev libtwo-dev\n");
  CHECK(result.out.empty());
}

void check_installs_by_sudo(const ProcessResult& result) {
  CHECK(result.exit_code == 0);
  CHECK(result.err.find("Installing libone-dev libtwo-dev\nsudo apt-get update") == 0);
  CHECK(result.err.find("apt-get install -y -q --no-install-recommends libone-dev libtwo-dev") != std::string::npos);
}

}  // namespace

TEST_CASE("dependencies: without root and sudo the command is printed, on a terminal, too") {
  check_refuses(in_bash(std::string(kNobody) + kNoSudo + kNoTerminal + kInstall));
  check_refuses(in_bash(std::string(kNobody) + kNoSudo + kTerminal + kInstall));
}

TEST_CASE("dependencies: sudo installs when it wants no password, or can ask for it") {
  check_installs_by_sudo(in_bash(std::string(kNobody) + kSudo + kAsksNothing + kNoTerminal + kInstall));
  check_installs_by_sudo(in_bash(std::string(kNobody) + kSudo + kAsksForPassword + kTerminal + kInstall));
  check_refuses(in_bash(std::string(kNobody) + kSudo + kAsksForPassword + kNoTerminal + kInstall));
}

}  // namespace isoloss::test
