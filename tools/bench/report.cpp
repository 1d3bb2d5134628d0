#include "tools/bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/common/program.h"

namespace isoloss::bench {

using nlohmann::json;

namespace {

/// Share of the speed of light, which is the larger of FLOPs over the GEMM ceiling and bytes over the copy ceiling.
double share_of_light(const Cost& cost, double seconds, const Ceilings& ceilings) {
  return std::max(cost.flops / ceilings.flops_per_second, cost.bytes / ceilings.bytes_per_second) / seconds;
}

}  // namespace

json Report::ceilings() const {
  json result = {{"gemm_flops_per_second", ceilings_.flops_per_second},
                 {"copy_bytes_per_second", ceilings_.bytes_per_second}};
  if (!on_host_) {
    fmt::print("ceilings measured in this run: matrix product in {} {:.1f} TFLOP/s, copy {:.0f} GB/s\n", precision_,
               ceilings_.flops_per_second * 1e-12, ceilings_.bytes_per_second * 1e-9);
    return result;
  }
  fmt::print(
      "ceilings measured in this run: matrix product {:.1f} GFLOP/s ({:.0f} % of {:.1f} in registers), "
      "copy {:.1f} GB/s\n",
      ceilings_.flops_per_second * 1e-9, 100 * ceilings_.flops_per_second / ceilings_.fma_flops_per_second,
      ceilings_.fma_flops_per_second * 1e-9, ceilings_.bytes_per_second * 1e-9);
  result["fma_flops_per_second"] = ceilings_.fma_flops_per_second;
  return result;
}

void Report::operations_header(const std::string& shapes) const {
  if (on_host_) {
    fmt::print("\n{:<38} {:>10} {:>9} {:>8} {:>9}  inputs\n", fmt::format("operation ({})", shapes), "ms", "GFLOP/s",
               "GB/s", "ceiling");
  } else {
    fmt::print("\n{:<42} {:>10} {:>8} {:>7} {:>9} {:>16}  inputs\n",
               fmt::format("operation ({}, {})", shapes, precision_), "us", "TFLOP/s", "GB/s", "ceiling",
               "speed of peer");
  }
}

json Report::operation(const Measured& m) const {
  const double seconds = m.timing.median, share = share_of_light(m.cost, seconds, ceilings_);
  const double flops = m.cost.flops / seconds, bytes = m.cost.bytes / seconds;
  const std::string name = m.op + (m.what.empty() ? "" : " (" + m.what + ")");
  json row = {{"op", m.op},
              {"case", m.what},
              {"shapes", m.shapes},
              {"copies", m.copies},
              {"seconds_median", seconds},
              {"seconds_shortest", m.timing.shortest},
              {"runs", m.timing.runs},
              {"flops", m.cost.flops},
              {"bytes", m.cost.bytes},
              {"flops_per_second", flops},
              {"bytes_per_second", bytes},
              {"share_of_ceiling", share},
              {"peer", nullptr}};
  if (on_host_) {
    fmt::print("{:<38} {:>10.3f} {:>9.1f} {:>8.1f} {:>7.0f} %  {}\n", name, seconds * 1e3, flops * 1e-9, bytes * 1e-9,
               100 * share, m.shapes);
    return row;
  }
  std::string peer = "-";
  if (m.peer) {
    const double speed = m.peer->timing.median / seconds;
    peer = fmt::format("{:.0f} % {}", 100 * speed, m.peer->name);
    row["peer"] = {{"name", m.peer->name},
                   {"seconds_median", m.peer->timing.median},
                   {"seconds_shortest", m.peer->timing.shortest},
                   {"relative_speed", speed}};
  }
  fmt::print("{:<42} {:>10.1f} {:>8.1f} {:>7.0f} {:>7.0f} % {:>16}  {}\n", name, seconds * 1e6, flops * 1e-12,
             bytes * 1e-9, 100 * share, peer, m.shapes);
  return row;
}

void Report::products_header(const ProductRow& first) const {
  fmt::print("\n{:<22} {:>6} {:>6} {:>6}", "matrix product", "m", "n", "k");
  for (const auto& [library, speed] : first.speeds) fmt::print(" {:>9}", library);
  fmt::print("  {}\n", on_host_ ? "GFLOP/s" : "TFLOP/s");
}

json Report::product(const ProductRow& row) const {
  json entry = {{"layer", row.layer}, {"pass", row.pass}, {"m", row.m}, {"n", row.n}, {"k", row.k}};
  fmt::print("{:<22} {:>6} {:>6} {:>6}", row.layer + " " + row.pass, row.m, row.n, row.k);
  for (const auto& [library, speed] : row.speeds) {
    fmt::print(" {:>9.1f}", speed * (on_host_ ? 1e-9 : 1e-12));
    entry["flops_per_second"][library] = speed;
  }
  const double best = on_host_ ? ceilings_.fma_flops_per_second : ceilings_.flops_per_second;
  entry["share_of_ceiling"] = row.speeds.front().second / best;
  fmt::print("  ({:.0f} % of the {})\n", 100 * row.speeds.front().second / best,
             on_host_ ? "registers' rate" : "ceiling");
  return entry;
}

json Report::training(const std::string& config, const StepSpeed& speed, std::optional<double> datasheet) const {
  const double seconds = speed.timing.median, flops = speed.cost.flops / seconds;
  json result = {{"config", config},
                 {"seconds_median", seconds},
                 {"seconds_shortest", speed.timing.shortest},
                 {"steps", speed.timing.runs},
                 {"tokens", speed.tokens},
                 {"tokens_per_second", static_cast<double>(speed.tokens) / seconds},
                 {"flops", speed.cost.flops},
                 {"flops_per_second", flops},
                 {"matmul_flops", speed.cost.matmul_flops},
                 {"planned_bytes", speed.planned_bytes}};
  const std::string tokens = grouped(static_cast<double>(speed.tokens) / seconds);
  const std::string counted = fmt::format("{}: {} tokens/s ({:.1f} ms a step of {} tokens, {} runs)", config, tokens,
                                          seconds * 1e3, speed.tokens, speed.timing.runs);
  if (on_host_) {
    // What the products allow: matrix products at the measured rate, attention at half of it.
    const double allowed = (speed.cost.matmul_flops + speed.attention_flops) / ceilings_.flops_per_second;
    result["share_of_products"] = allowed / seconds;
    fmt::print("\n{}, {:.1f} GFLOP/s,\n{:.0f} % of what the matrix products allow, planned memory {:.0f} MiB\n",
               counted, flops * 1e-9, 100 * allowed / seconds, speed.planned_bytes / 1048576);
    return result;
  }
  const double utilisation = flops / ceilings_.flops_per_second;
  result["utilisation_of_measured"] = utilisation;
  result["utilisation_of_datasheet"] = nullptr;
  std::string promised;
  if (datasheet) {
    result["utilisation_of_datasheet"] = flops / *datasheet;
    promised =
        fmt::format(", {:.1f} % of the datasheet's {:.0f} TFLOP/s", 100 * flops / *datasheet, *datasheet * 1e-12);
  }
  fmt::print(
      "\n{}, {:.1f} TFLOP/s in {},\nmodel FLOP utilisation {:.1f} % of the measured product{}, planned memory {:.0f} "
      "MiB\n",
      counted, flops * 1e-12, precision_, 100 * utilisation, promised, speed.planned_bytes / 1048576);
  return result;
}

}  // namespace isoloss::bench
