// One run of bench on an open machine: ceilings, then whatever was asked for, as text and as one JSON object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/machine.h"
#include "engine/run_config.h"

namespace isoloss::bench {

/// Of what measures a device's ceilings (kernels/cpu/ceilings.h).
struct CeilingSizes {
  std::int64_t matmul = 8192;
  std::size_t copy_bytes = std::size_t{1} << 30;
};

struct Request {
  std::vector<std::string> what;  ///< op names, "gemm", "train"; empty: all ops
  std::string shapes = "gpt2-124m", config;
  std::vector<std::string> set;
  double seconds = 0.3;  ///< for each measurement
  Precision precision = Precision::fp32;
  std::string device = "cpu", command;  ///< as given; for the report
  CeilingSizes ceiling_sizes;

  bool wants(const std::string& name) const;  ///< named on the command line
  bool wants_operations() const;              ///< all of them, or some by name
};

/// Throws an input error when something that was asked for does not exist or is missing.
void check(const Request& request);

/// Measures and prints. The report names the device, its versions, the commit, the command line and the date.
/// Operations that failed are listed under "failed"; where the user interrupted, the report has what was done, and
/// "interrupted".
nlohmann::json run_session(const Request& request, const Machine& machine);

const char* name_of(Precision precision);

}  // namespace isoloss::bench
