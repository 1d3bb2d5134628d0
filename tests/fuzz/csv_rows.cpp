// Curves in a CSV file with one change are refused, or compared with finite numbers.
#include <fmt/format.h>

#include <cmath>

#include "tests/fuzz/change.h"
#include "tools/ceg/estimate/analysis.h"
#include "tools/ceg/output/output.h"

namespace {
using namespace isoloss;
using namespace isoloss::ceg;
using fuzz::Choices;

/// Three arms that fall from 5 nats, each at its own pace.
std::string valid_csv(Choices& choices) {
  const bool tokens = choices.flag(), seconds = choices.flag(), scales = choices.flag(), parts = choices.flag();
  std::string text = "variant,seed,step,val_loss";
  for (const auto& [there, name] : {std::pair(tokens, ",tokens"), std::pair(seconds, ",seconds"),
                                    std::pair(scales, ",scale"), std::pair(parts, ",parts")}) {
    if (there) text += name;
  }
  text += choices.flag() ? "\r\n" : "\n";
  const std::size_t steps = 3 + choices.below(6), seeds = 1 + choices.below(3);
  const std::vector<std::string> names = {"base", "\"a, b\"", "all", "base2"};
  for (std::size_t variant = 0; variant < 2 + choices.below(3); ++variant) {
    for (std::size_t seed = 1; seed <= seeds; ++seed) {
      for (std::size_t step = choices.below(2); step <= steps; ++step) {
        const double noise = 0.01 * static_cast<double>(choices.below(8));
        const double loss = 3 + noise + 2 * std::exp(-0.1 * static_cast<double>((1 + variant) * step + seed));
        text += fmt::format("{},{},{},{}", names[variant], seed, step * 10, loss);
        if (tokens) text += fmt::format(",{}", step * 1000);
        if (seconds) text += fmt::format(",{}", 0.5 * static_cast<double>(step));
        if (scales) text += ",nano";
        if (parts) text += variant == 2 ? ",\"a, b\"" : ",";
        text += "\n";
      }
    }
  }
  return text;
}

void expect_finite(const std::optional<Interval>& interval) {
  if (!interval) return;
  fuzz::require(std::isfinite(interval->low) && std::isfinite(interval->high) && interval->low <= interval->high,
                fmt::format("an interval from {} to {}", interval->low, interval->high));
}

void expect_finite(const Analysis& analysis) {
  for (const Row& row : analysis.rows) {
    fuzz::require(!row.ceg || (std::isfinite(*row.ceg) && *row.ceg > 0), "a CEG that is no positive number");
    fuzz::require(row.ceg.has_value() <= (row.status == Status::reached), "a CEG of what was not reached");
    fuzz::require(!row.gap || std::isfinite(*row.gap), "an infinite gap");
    fuzz::require(!row.bound || std::isfinite(row.bound->value), "an infinite bound");
    expect_finite(row.interval);
    expect_finite(row.auxiliary_interval);
  }
  for (const NoiseFloor& floor : analysis.noise_floor) expect_finite(floor.interval);
  fuzz::require(!as_text(analysis, {}).empty() && !as_csv(analysis).empty() && !as_json(analysis).empty(), "no text");
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Choices choices(data, size);
  Options options;
  options.baseline = "base";
  options.resamples = 10;
  options.cost = std::nullopt;
  constexpr Method kMethods[] = {Method::interpolate, Method::paper, Method::interpolate, Method::fit};
  options.method = kMethods[choices.below(choices.rarely(4) ? 4 : 3)];  // a fit takes longer than all the rest
  if (choices.rarely(4)) options.target = 3 + 0.1 * static_cast<double>(choices.below(16));
  const fuzz::Document document(valid_csv(choices), choices);
  std::vector<Run> runs;
  if (!fuzz::accepted(document.valid, [&] { runs = read_csv_runs(document.text, "fuzz.csv"); })) return 0;
  // Curves may be too short for the method, which is an input error, too.
  fuzz::accepted(false, [&] { expect_finite(analyse(std::move(runs), options)); });
  return 0;
}
