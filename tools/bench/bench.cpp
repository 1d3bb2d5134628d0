// The program `bench`: how fast the operations and a training step are, beside what the machine could do.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "tools/bench/cases.h"
#include "tools/bench/session.h"
#include "tools/common/device.h"
#include "tools/common/program.h"
#include "tools/common/usage.h"

namespace isoloss::bench {
namespace {

struct Options {
  Request request;
  std::string precision, json_file;
  DeviceOptions device;
};

Precision precision_of(const std::string& name) {
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    if (name == name_of(precision)) return precision;
  }
  fail_input("--precision", "fp32, tf32 or bf16", name);
}

int run(Options options) {
  Request& request = options.request;
  check(request);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // who is cut short keeps the rows that are done
  const std::string& asked = options.precision;
  const Device device = open_device(options.device, asked.empty() ? Precision::fp32 : precision_of(asked),
                                    asked.empty() ? Precision::bf16 : precision_of(asked));
  request.device = device.name;
  request.precision = device.precision;
  const nlohmann::json report = run_session(request, device.machine);
  if (!options.json_file.empty()) write_file_atomically(options.json_file, report.dump(2) + "\n");
  if (report.contains("interrupted")) return kInterrupted;
  if (report.contains("failed")) {
    fail_run("bench", "every operation to run", fmt::format("{} that failed", report["failed"].size()));
  }
  return 0;
}

}  // namespace
}  // namespace isoloss::bench

int main(int argc, char** argv) {
  using namespace isoloss;
  bench::Options options;
  bench::Request& request = options.request;
  for (int i = 0; i < argc; ++i) request.command += (i > 0 ? " " : "") + std::string(argv[i]);
  return run_program(
      argc, argv, "bench",
      "Measures operations, matrix products and training steps against the ceilings of this machine, on a GPU also "
      "beside a copy, the library's products and cuDNN.",
      "bench linear linear_backward --shapes gpt2-124m\n  bench gemm\n  bench train --config nano --set "
      "model.vocab=65\n"
      "  bench --device cuda --shapes attention --json attention.json",
      [&](CLI::App& app) {
        app.add_option("what", request.what,
                       "Operations by name, `gemm` (products; on the host beside OpenBLAS and oneDNN), `train` (whole "
                       "steps); nothing: all operations");
        app.add_option("--shapes", request.shapes,
                       fmt::format("Sizes of the operations: {}. The micro-batches of gpt2-124m and gpt2-350m are 16 "
                                   "and 8 sequences of 1024 tokens on a GPU, 2 of 256 on the host; attention: contexts "
                                   "1k to 8k, head dimensions 64 and 128",
                                   fmt::join(bench::case_shapes(), ", ")))
            ->capture_default_str();
        app.add_option("--precision", options.precision, "fp32, tf32 or bf16; default fp32, on a GPU bf16");
        app.add_option("--seconds", request.seconds, "Time for each measurement (training: at least 3)")
            ->check(number_from(0.001))
            ->capture_default_str();
        app.add_option("--config", request.config, "train: configuration file or preset");
        app.add_option("--set", request.set, "train: key=value on top of the configuration");
        app.add_option("--json", options.json_file, "Write the results to this file, too");
        options.device.add_to(app, /*check=*/false);
      },
      [&] { return bench::run(options); });
}
