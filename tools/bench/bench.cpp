// The program `bench`: how fast the operations and a training step are, beside what the machine could do.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/core/ceilings.h"
#include "kernels/core/error.h"
#include "kernels/core/file.h"
#include "tools/bench/cases.h"
#include "tools/bench/measure.h"
#include "tools/bench/products.h"
#include "tools/bench/train_step.h"
#include "tools/common/device.h"
#include "tools/common/program.h"

namespace isoloss::bench {
namespace {

using nlohmann::json;

struct Options {
  std::vector<std::string> what;  // op names, "gemm", "train"; empty: all ops
  std::string shapes = "gpt2-124m", config, json_file;
  std::vector<std::string> set;
  double seconds = 0.3;
  DeviceOptions device;
};

/// Share of the speed of light, which is the larger of FLOPs over the GEMM ceiling and bytes over the copy ceiling.
double share_of_light(const Cost& cost, double seconds, const Ceilings& ceilings) {
  return std::max(cost.flops / ceilings.flops_per_second, cost.bytes / ceilings.bytes_per_second) / seconds;
}

json ceilings_json(const Ceilings& c) {
  return {{"gemm_flops_per_second", c.flops_per_second},
          {"fma_flops_per_second", c.fma_flops_per_second},
          {"copy_bytes_per_second", c.bytes_per_second}};
}

void print_ceilings(const Ceilings& c) {
  fmt::print(
      "ceilings measured in this run: matrix product {:.1f} GFLOP/s ({:.0f} % of {:.1f} in registers), "
      "copy {:.1f} GB/s\n",
      c.flops_per_second * 1e-9, 100 * c.flops_per_second / c.fma_flops_per_second, c.fma_flops_per_second * 1e-9,
      c.bytes_per_second * 1e-9);
}

void print_op(const Measured& m, const Ceilings& ceilings, json& rows) {
  const double seconds = m.timing.median, share = share_of_light(m.cost, seconds, ceilings);
  const std::string name = m.op + (m.what.empty() ? "" : " (" + m.what + ")");
  fmt::print("{:<38} {:>10.3f} {:>9.1f} {:>8.1f} {:>7.0f} %  {}\n", name, seconds * 1e3, m.cost.flops / seconds * 1e-9,
             m.cost.bytes / seconds * 1e-9, 100 * share, m.shapes);
  rows.push_back({{"op", m.op},
                  {"case", m.what},
                  {"shapes", m.shapes},
                  {"seconds_median", seconds},
                  {"seconds_shortest", m.timing.shortest},
                  {"runs", m.timing.runs},
                  {"flops", m.cost.flops},
                  {"bytes", m.cost.bytes},
                  {"share_of_ceiling", share}});
}

void check_names(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto& ops = all_ops();
    const bool known = name == "gemm" || name == "train" ||
                       std::any_of(ops.begin(), ops.end(), [&](const OpDef& op) { return op.name == name; });
    if (!known) fail_input("bench", "the name of an operation, gemm or train", name);
  }
}

json bench_ops(const Options& options, DeviceKind device, const Ceilings& ceilings) {
  const auto wanted = [&](const std::string& op) {
    return options.what.empty() || std::find(options.what.begin(), options.what.end(), op) != options.what.end();
  };
  json rows = json::array();
  const Shapes& shapes = find_shapes(options.shapes);
  fmt::print("\n{:<38} {:>10} {:>9} {:>8} {:>9}  inputs\n", fmt::format("operation ({})", shapes.name), "ms", "GFLOP/s",
             "GB/s", "ceiling");
  for (const Case& test : cases_of(shapes)) {
    if (interrupted()) break;
    for (const Measured& measured : measure(test, device, options.seconds, wanted)) print_op(measured, ceilings, rows);
  }
  return rows;
}

json bench_products(const Options& options, const Ceilings& ceilings) {
  json rows = json::array();
  bool first = true;
  for (const ProductRow& row : measure_products(find_shapes(options.shapes), options.seconds)) {
    if (first) {
      fmt::print("\n{:<22} {:>6} {:>6} {:>6}", "matrix product", "m", "n", "k");
      for (const auto& [library, speed] : row.speeds) fmt::print(" {:>9}", library);
      fmt::print("  GFLOP/s\n");
      first = false;
    }
    fmt::print("{:<22} {:>6} {:>6} {:>6}", row.layer + " " + row.pass, row.m, row.n, row.k);
    json entry = {{"layer", row.layer}, {"pass", row.pass}, {"m", row.m}, {"n", row.n}, {"k", row.k}};
    for (const auto& [library, speed] : row.speeds) {
      fmt::print(" {:>9.1f}", speed * 1e-9);
      entry["flops_per_second"][library] = speed;
    }
    fmt::print("  ({:.0f} % of the registers' rate)\n",
               100 * row.speeds.front().second / ceilings.fma_flops_per_second);
    rows.push_back(std::move(entry));
  }
  return rows;
}

json bench_training(const Options& options, DeviceKind device, const Ceilings& ceilings) {
  const StepSpeed speed = measure_training(options.config, options.set, device, std::max(options.seconds, 3.0));
  if (interrupted()) return nullptr;
  const double seconds = speed.timing.median;
  // What the products allow: matrix products at the measured rate, attention at half of it.
  const double allowed = (speed.cost.matmul_flops + speed.attention_flops) / ceilings.flops_per_second;
  fmt::print(
      "\n{}: {} tokens/s ({:.1f} ms a step of {} tokens, {} runs), {:.1f} GFLOP/s,\n"
      "{:.0f} % of what the matrix products allow, planned memory {:.0f} MiB\n",
      options.config, grouped(static_cast<double>(speed.tokens) / seconds), seconds * 1e3, speed.tokens,
      speed.timing.runs, speed.cost.flops / seconds * 1e-9, 100 * allowed / seconds, speed.planned_bytes / 1048576);
  return {{"config", options.config},
          {"seconds_median", seconds},
          {"seconds_shortest", speed.timing.shortest},
          {"tokens", speed.tokens},
          {"tokens_per_second", static_cast<double>(speed.tokens) / seconds},
          {"flops", speed.cost.flops},
          {"matmul_flops", speed.cost.matmul_flops},
          {"share_of_products", allowed / seconds},
          {"planned_bytes", speed.planned_bytes}};
}

int run(const Options& options) {
  check_names(options.what);
  find_shapes(options.shapes);
  const Device device = open_device(options.device, Precision::fp32);
  const auto named = [&](const char* name) {
    return std::find(options.what.begin(), options.what.end(), name) != options.what.end();
  };
  const bool gemm_wanted = named("gemm"), train_wanted = named("train");
  const auto special = static_cast<std::size_t>(gemm_wanted) + static_cast<std::size_t>(train_wanted);
  if (train_wanted && options.config.empty()) fail_input("bench train", "--config FILE or PRESET", "none");
  const Ceilings ceilings = measure_ceilings();
  print_ceilings(ceilings);
  json report = {{"device", device.name}, {"ceilings", ceilings_json(ceilings)}};
  if (options.what.empty() || options.what.size() > special) {
    report["shapes"] = options.shapes;
    report["operations"] = bench_ops(options, device.machine.kind(), ceilings);
  }
  if (gemm_wanted && !interrupted()) {
    if (device.machine.kind() != DeviceKind::cpu) fail_input("bench gemm", "device cpu", device.name);
    report["shapes"] = options.shapes;
    report["products"] = bench_products(options, ceilings);
  }
  if (train_wanted && !interrupted()) report["training"] = bench_training(options, device.machine.kind(), ceilings);
  if (interrupted()) return kInterrupted;
  if (!options.json_file.empty()) {
    AtomicFile file(options.json_file);
    file.write(report.dump(2) + "\n");
    file.commit();
  }
  return 0;
}

}  // namespace
}  // namespace isoloss::bench

int main(int argc, char** argv) {
  using namespace isoloss;
  bench::Options options;
  return run_program(
      argc, argv, "bench",
      "Measures operations, matrix products and training steps against the ceilings of this machine.",
      "bench linear linear_backward --shapes gpt2-124m\n  bench gemm\n  bench train --config nano --set model.vocab=65",
      [&](CLI::App& app) {
        app.add_option("what", options.what,
                       "Operations by name, `gemm` (products beside OpenBLAS and oneDNN), `train` (whole steps); "
                       "nothing: all operations");
        std::string names;
        for (const bench::Shapes& shapes : bench::all_shapes()) {
          names += (names.empty() ? "" : ", ") + std::string(shapes.name);
        }
        app.add_option("--shapes", options.shapes, "Sizes of the operations: " + names)->capture_default_str();
        app.add_option("--seconds", options.seconds, "Time for each measurement (training: at least 3)")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
        app.add_option("--config", options.config, "train: configuration file or preset");
        app.add_option("--set", options.set, "train: key=value on top of the configuration");
        app.add_option("--json", options.json_file, "Write the results to this file, too");
        options.device.add_to(app, /*check=*/false);
      },
      [&] { return bench::run(options); });
}
