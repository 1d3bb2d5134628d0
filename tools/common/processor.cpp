// Compiled for the oldest processor of the architecture (CMakeLists.txt), unlike the rest.
#include "tools/common/processor.h"

#include <unistd.h>

#include <csignal>

namespace isoloss {

namespace {
void on_missing_instruction(int) {
  static const char kMessage[] =
      "error: [processor] expected the instructions of the machine that built this program, got one without some of "
      "them; build it here, or with -DISOLOSS_NATIVE=OFF\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  ::_exit(1);
}

// Other initialisers of static objects already use what the processor may lack.
[[gnu::constructor(101)]] void watch_first() { watch_instructions(); }
}  // namespace

void watch_instructions() { std::signal(SIGILL, on_missing_instruction); }

}  // namespace isoloss
