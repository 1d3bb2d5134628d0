#include "tools/bench/session.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/training_model.h"
#include "kernels/base/error.h"
#include "kernels/gpu/ceilings.h"
#include "tools/bench/datasheet.h"
#include "tools/bench/device_products.h"
#include "tools/bench/report.h"
#include "tools/common/program.h"
#include "tools/common/version.h"

namespace isoloss::bench {

using nlohmann::json;

namespace {

constexpr const char *kGemm = "gemm", *kTrain = "train";

json facts_of(const Request& request, const Machine& machine) {
  json facts = {{"device", request.device},
                {"precision", name_of(request.precision)},
                {"commit", build_commit()},
                {"command", request.command},
                {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))}};
  if (machine.on_host()) return facts;
  const CudaProperties properties = machine.cuda().properties();
  facts["device"] = properties.name;
  facts["architecture"] = properties.architecture;
  facts["driver"] = properties.driver;
  facts["cuda"] = properties.runtime;
  facts["l2_bytes"] = properties.l2_bytes;
  facts["memory_bytes"] = machine.cuda().total_memory();
  return facts;
}

Ceilings ceilings_of(const Request& request, const Machine& machine) {
  if (machine.on_host()) return measure_ceilings();
  return measure_ceilings(machine.cuda(), machine.stream(), real_of(request.precision), uses_tf32(machine),
                          request.ceiling_sizes.matmul, request.ceiling_sizes.copy_bytes);
}

/// One operation that fails does not cost the others' figures.
json operations(const Request& request, const Machine& machine, const Report& report, json& failed) {
  report.operations_header(request.shapes);
  json rows = json::array();
  const auto wanted = [&](const std::string& op) { return request.what.empty() || request.wants(op); };
  for (const Case& test : cases_named(request.shapes, machine.kind(), real_of(request.precision))) {
    if (interrupted()) break;
    try {
      for (const Measured& measured : measure(test, machine, request.seconds, wanted)) {
        rows.push_back(report.operation(measured));
      }
    } catch (const std::exception& error) {
      say(fmt::format("{} {} failed: {}", test.op, test.what, error.what()));
      failed.push_back({{"op", test.op}, {"what", test.what}, {"error", error.what()}});
    }
  }
  return rows;
}

json products(const Request& request, const Machine& machine, const Report& report) {
  json rows = json::array();
  const DType real = real_of(request.precision);
  for (const ProductRow& row :
       measure_products(find_shapes(request.shapes, machine.kind()), machine, real, request.seconds)) {
    if (rows.empty()) report.products_header(row);
    rows.push_back(report.product(row));
  }
  return rows;
}

json training(const Request& request, const Machine& machine, const Report& report) {
  const StepSpeed speed =
      measure_training(request.config, request.set, machine, request.precision, std::max(request.seconds, 3.0));
  if (interrupted()) return nullptr;
  const std::optional<double> datasheet =
      machine.on_host() ? std::nullopt : datasheet_flops(machine.cuda().properties().name, request.precision);
  return report.training(request.config, speed, datasheet);
}

}  // namespace

const char* name_of(Precision precision) {
  return precision == Precision::fp32 ? "fp32" : precision == Precision::tf32 ? "tf32" : "bf16";
}

bool Request::wants(const std::string& name) const { return std::find(what.begin(), what.end(), name) != what.end(); }

bool Request::wants_operations() const {
  const auto special = [](const std::string& name) { return name == kGemm || name == kTrain; };
  return what.empty() || !std::all_of(what.begin(), what.end(), special);
}

void check(const Request& request) {
  for (const std::string& name : request.what) {
    const auto& ops = all_ops();
    const bool known = name == kGemm || name == kTrain ||
                       std::any_of(ops.begin(), ops.end(), [&](const OpDef& op) { return op.name == name; });
    if (!known) fail_input("bench", "the name of an operation, gemm or train", name);
  }
  if (request.wants_operations()) cases_named(request.shapes, DeviceKind::cpu, DType::f32);
  if (request.wants(kGemm)) find_shapes(request.shapes, DeviceKind::cpu);
  if (request.wants(kTrain) && request.config.empty()) fail_input("bench train", "--config FILE or PRESET", "none");
}

json run_session(const Request& request, const Machine& machine) {
  check(request);
  if (request.wants(kGemm) && machine.kind() == DeviceKind::ref) {
    fail_input("bench gemm", "device cpu or cuda", request.device);
  }
  const Ceilings ceilings = ceilings_of(request, machine);
  const Report report(machine.on_host(), ceilings, name_of(request.precision));
  json result = facts_of(request, machine);
  result["ceilings"] = report.ceilings();
  if (request.wants_operations()) {
    result["shapes"] = request.shapes;
    json failed = json::array();
    result["operations"] = operations(request, machine, report, failed);
    if (!failed.empty()) result["failed"] = std::move(failed);
  }
  if (request.wants(kGemm) && !interrupted()) {
    result["shapes"] = request.shapes;
    result["products"] = products(request, machine, report);
  }
  if (request.wants(kTrain) && !interrupted()) result["training"] = training(request, machine, report);
  if (interrupted()) result["interrupted"] = true;
  return result;
}

}  // namespace isoloss::bench
