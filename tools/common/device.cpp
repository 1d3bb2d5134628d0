#include "tools/common/device.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "engine/checker.h"
#include "kernels/core/error.h"
#include "kernels/core/parallel.h"
#include "tools/common/program.h"

namespace isoloss {

void DeviceOptions::add_to(CLI::App& app, bool check) {
  app.add_option(
         "--device", device,
         std::string("auto, cpu, cuda, ref (the specification, slow)") + (check ? ", check (cpu beside ref)" : ""))
      ->default_str("auto");
  app.add_option("--threads", threads, "Threads of the cpu device; 0: all processors")->check(CLI::NonNegativeNumber);
}

Device open_device(const DeviceOptions& options, Precision precision) {
  if (options.threads > 0) set_threads(options.threads);
  Device device;
  device.name = options.device == "auto" ? "cpu" : options.device;
  if (device.name == "ref") {
    device.machine = DeviceKind::ref;
  } else if (device.name == "check") {
    device.checker = std::make_unique<Checker>();
  } else if (device.name == "cuda") {
    fail_run("--device", "a build with the cuda device", "cuda, which this build does not have");
  } else if (device.name != "cpu") {
    fail_input("--device", "auto, cpu, cuda, ref or check", device.name);
  }
  if (precision != Precision::fp32) {
    fail_input("run.precision", fmt::format("fp32, all that device {} computes in", device.name),
               precision == Precision::tf32 ? "tf32" : "bf16");
  }
  if (options.device == "auto") say(fmt::format("device: {} ({} threads)", device.name, threads()));
  return device;
}

}  // namespace isoloss
