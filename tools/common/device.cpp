#include "tools/common/device.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <system_error>

#include "engine/checker.h"
#include "kernels/base/error.h"
#include "kernels/base/parallel.h"
#include "kernels/cuda/device.h"
#include "tools/common/program.h"
#include "tools/common/usage.h"

namespace isoloss {

namespace {

/// The GPU, or null and the reason.
std::shared_ptr<CudaDevice> find_gpu(std::string& why_not) {
  if (open_cuda_device == nullptr) {
    why_not = "this build has no cuda device";
    return nullptr;
  }
  try {
    return open_cuda_device();
  } catch (const CudaFailure& failure) {
    why_not = failure.what();
    return nullptr;
  }
}

void start_threads(int count) {
  try {
    set_threads(count);
  } catch (const std::system_error& error) {
    fail_run("--threads", "as many threads as the system lets start", error.code().message());
  }
}

const char* text_of(Precision precision) {
  return precision == Precision::fp32 ? "fp32" : precision == Precision::tf32 ? "tf32" : "bf16";
}

void expect_precision(const std::string& device, bool gpu, Precision precision) {
  if (precision != Precision::fp32 && !gpu) {
    fail_input("run.precision", fmt::format("fp32, all that device {} computes in", device), text_of(precision));
  }
  if (precision == Precision::tf32 && device == "check") {
    fail_input("run.precision", "fp32 or bf16: with tf32 there is no bound to check against", "tf32");
  }
}

}  // namespace

void DeviceOptions::add_to(CLI::App& app, bool check) {
  app.add_option("--device", device,
                 std::string("auto (cuda where there is a GPU, else cpu), cpu, cuda, ref (the specification, slow)") +
                     (check ? ", check (what auto chooses, beside ref)" : ""))
      ->default_str("auto")
      ->check(check ? one_of({"auto", "cpu", "cuda", "ref", "check"}) : one_of({"auto", "cpu", "cuda", "ref"}));
  app.add_option("--threads", threads, "Threads of the cpu device; 0: all processors")
      ->check(whole_number(0, kMostThreads));
}

Device open_device(const DeviceOptions& options, Precision precision) {
  return open_device(options, precision, precision);
}

Device open_device(const DeviceOptions& options, Precision on_host, Precision on_gpu) {
  if (options.threads > 0) start_threads(options.threads);
  const std::string& wanted = options.device;
  Device device;
  device.name = wanted;
  if (wanted == "ref" || wanted == "cpu") {
    device.machine = wanted == "ref" ? DeviceKind::ref : DeviceKind::cpu;
    expect_precision(wanted, /*gpu=*/false, on_host);
    device.precision = on_host;
    return device;
  }
  const bool chooses = wanted == "auto" || wanted == "check";
  if (!chooses && wanted != "cuda") fail_input("--device", "auto, cpu, cuda, ref or check", wanted);

  std::string why_not;
  const std::shared_ptr<CudaDevice> gpu = find_gpu(why_not);
  if (!gpu && !chooses) fail_run("--device", "a GPU for cuda", why_not);
  device.precision = gpu ? on_gpu : on_host;
  if (gpu) device.machine = Machine(gpu, device.precision == Precision::tf32);
  if (wanted == "check") device.checker = std::make_unique<Checker>();
  if (wanted == "auto") device.name = gpu ? "cuda" : "cpu";
  if (chooses) {
    say(gpu ? fmt::format("device: cuda ({})", gpu->name())
            : fmt::format("device: cpu ({} threads; cuda: {})", threads(), why_not));
  }
  expect_precision(device.name, gpu != nullptr, device.precision);
  return device;
}

DeviceKind device_kind(const DeviceOptions& options) {
  if (options.device == "cuda") return DeviceKind::cuda;
  if (options.device == "ref") return DeviceKind::ref;
  std::string why_not;
  const bool may_be_gpu = options.device == "auto" || options.device == "check";
  return may_be_gpu && find_gpu(why_not) ? DeviceKind::cuda : DeviceKind::cpu;
}

}  // namespace isoloss
