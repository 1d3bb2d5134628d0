// How results look: lines on stdout and the same as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "kernels/cpu/ceilings.h"
#include "tools/bench/measure.h"
#include "tools/bench/products.h"
#include "tools/bench/train_step.h"

namespace isoloss::bench {

/// Host: GFLOP/s and milliseconds. Device: TFLOP/s, microseconds, and a column for the peer.
class Report {
 public:
  Report(bool on_host, const Ceilings& ceilings, std::string precision)
      : on_host_(on_host), ceilings_(ceilings), precision_(std::move(precision)) {}

  // Each prints what it returns as JSON; a `…_header` only prints.
  nlohmann::json ceilings() const;
  void operations_header(const std::string& shapes) const;
  nlohmann::json operation(const Measured& measured) const;
  void products_header(const ProductRow& first) const;
  nlohmann::json product(const ProductRow& row) const;
  /// `datasheet`: FLOP/s that the maker promises, where known.
  nlohmann::json training(const std::string& config, const StepSpeed& speed, std::optional<double> datasheet) const;

 private:
  bool on_host_;
  Ceilings ceilings_;
  std::string precision_;
};

}  // namespace isoloss::bench
