#include "tools/ceg/output/sections.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace isoloss::ceg {
namespace {

constexpr int kTargetsShown = 6;

Tone tone_of(const std::optional<double>& ceg, const std::optional<Interval>& interval) {
  if (!ceg || !interval) return Tone::plain;
  return interval->low > 1 ? Tone::gain : interval->high < 1 ? Tone::loss : Tone::plain;
}

std::string place(const std::string& scale, CostAxis cost) {
  return fmt::format("scale {} · {}", scale, cost_name(cost));
}

/// What is known where there is no figure.
std::string known_text(const std::optional<Bound>& bound) {
  return bound ? bound_text(*bound, ceg_text(bound->value)) : "undetermined";
}

std::string row_note(const Row& row) {
  std::vector<std::string> parts;
  if (row.status == Status::reached && row.a_a) parts.push_back("baseline against itself");
  if (row.status == Status::not_reached) {
    if (row.bound && row.gap) {
      parts.push_back(fmt::format("{}, short by {:.4f} nats", known_text(row.bound), *row.gap));
    }
    if (row.auxiliary) parts.push_back(fmt::format("{} at its own best loss", ceg_text(*row.auxiliary)));
    if (row.auxiliary_interval) parts.back() += fmt::format(" ({})", interval_text(row.auxiliary_interval));
  }
  if (!row.remark.empty()) parts.push_back(row.remark);
  return fmt::format("{}", fmt::join(parts, "; "));
}

SectionRow main_row(const Row& row) {
  SectionRow line;
  const bool reached = row.status == Status::reached;
  line.cells = {row.variant,
                row.variant_class,
                row.ceg   ? ceg_text(*row.ceg)
                : reached ? known_text(row.bound)
                          : "not reached",
                interval_text(row.interval),
                fmt::format("{}", row.seeds),
                row_note(row)};
  if (row.ceg) {
    line.bar = Bar{*row.ceg, row.interval};
    line.tone = row.a_a ? Tone::dim : tone_of(row.ceg, row.interval);
  }
  return line;
}

Section main_table(const Analysis& analysis, const std::string& scale, CostAxis cost) {
  Section section;
  section.title = place(scale, cost);
  section.columns = {
      {"variant", Align::left}, {"class", Align::left},
      {"CEG", Align::right},    {fmt::format("{:g} % interval", 100 * analysis.options.confidence), Align::left},
      {"runs", Align::right},   {"", Align::left}};
  for (const Row& row : analysis.rows) {
    if (row.scale != scale || row.cost != cost) continue;
    if (section.notes.empty() && row.target)
      section.notes.push_back(fmt::format("target loss {:.4f} nats per token", *row.target));
    section.rows.push_back(main_row(row));
  }
  for (const ScaleLaw& law : analysis.laws) {
    if (law.scale != scale || law.cost != cost) continue;
    if (!std::isfinite(law.a)) continue;  // beyond a double; the warning about its residuals says enough
    section.notes.push_back(
        fmt::format("L = {:.4f} + {:.4g} · (k C)^{:.4f}, {} evaluations from C = {:.4g} on; residuals {:.2f} % "
                    "of the loss, worst {:.2f} %",
                    law.e, law.a, -law.alpha, law.points, law.from_cost, 100 * law.residual, 100 * law.worst));
  }
  for (const NoiseFloor& floor : analysis.noise_floor) {
    if (floor.scale != scale || floor.cost != cost) continue;
    SectionRow line;
    line.cells = {"noise floor", "", "", interval_text(floor.interval), "", floor.source};
    if (floor.interval) line.bar = Bar{std::sqrt(floor.interval->low * floor.interval->high), floor.interval};
    line.tone = Tone::dim;
    section.rows.push_back(std::move(line));
  }
  return section;
}

Section reverse_table(const Analysis& analysis, CostAxis cost) {
  Section section;
  section.title = fmt::format("the other direction: at the variant's own final loss · {}", cost_name(cost));
  section.columns = {{"scale", Align::left},
                     {"variant", Align::left},
                     {"its final loss", Align::right},
                     {"CEG", Align::right},
                     {"interval", Align::left}};
  for (const Row& row : analysis.rows) {
    if (row.cost != cost || !row.reverse) continue;
    const Reverse& reverse = *row.reverse;
    section.rows.push_back({{row.scale, row.variant, fmt::format("{:.4f}", reverse.target),
                             reverse.ceg ? ceg_text(*reverse.ceg) : known_text(reverse.bound),
                             reverse.ceg                         ? interval_text(reverse.interval)
                             : reverse.status == Status::reached ? "reached by a first evaluation"
                                                                 : "the baseline never gets there"},
                            std::nullopt,
                            row.a_a ? Tone::dim : tone_of(reverse.ceg, reverse.interval)});
  }
  return section;
}

/// A few of the sweep's targets, side by side.
Section threshold_table(const Analysis& analysis, const std::string& scale, CostAxis cost) {
  Section section;
  section.title = fmt::format("CEG by target loss · {}", place(scale, cost));
  std::vector<double> targets;
  for (const ThresholdSweep& sweep : analysis.thresholds) {
    if (sweep.scale != scale || sweep.cost != cost || sweep.points.size() <= targets.size()) continue;
    targets.clear();
    for (const ThresholdPoint& point : sweep.points) targets.push_back(point.target);
  }
  if (targets.size() < 2) return section;
  std::vector<double> shown;
  const std::size_t count = std::min<std::size_t>(kTargetsShown, targets.size());
  for (std::size_t k = 0; k < count; ++k) shown.push_back(targets[k * (targets.size() - 1) / (count - 1)]);
  section.columns = {{"variant", Align::left}};
  for (const double target : shown) section.columns.push_back({fmt::format("{:.3f}", target), Align::right});
  for (const ThresholdSweep& sweep : analysis.thresholds) {
    if (sweep.scale != scale || sweep.cost != cost) continue;
    SectionRow line{{sweep.variant}, std::nullopt, Tone::plain};
    for (const double target : shown) {
      const auto point = std::find_if(sweep.points.begin(), sweep.points.end(),
                                      [&](const ThresholdPoint& candidate) { return candidate.target == target; });
      line.cells.push_back(point == sweep.points.end() ? "·" : ceg_text(point->ceg));
    }
    section.rows.push_back(std::move(line));
  }
  return section;
}

Section scale_table(const Analysis& analysis, CostAxis cost) {
  Section section;
  section.title = fmt::format("does CEG depend on scale? · {}", cost_name(cost));
  section.notes = {"slope of ln CEG against ln compute"};
  section.columns = {{"variant", Align::left},  {"verdict", Align::left},     {"slope", Align::right},
                     {"interval", Align::left}, {"detectable", Align::right}, {"", Align::left}};
  for (const ScaleFit& fit : analysis.scale_fits) {
    if (fit.cost != cost) continue;
    section.rows.push_back(
        {{fit.variant, std::string(verdict_name(fit.verdict)), fit.slope ? fmt::format("{:+.3f}", *fit.slope) : "",
          fit.slope_interval ? fmt::format("{:+.3f} – {:+.3f}", fit.slope_interval->low, fit.slope_interval->high) : "",
          fit.detectable_slope ? fmt::format("{:.3f}", *fit.detectable_slope) : "", fit.reason},
         std::nullopt,
         Tone::plain});
  }
  return section;
}

Section composition_table(const Analysis& analysis, const Composition& found) {
  Section section;
  section.title = fmt::format("composition of {} · {}", found.variant, place(found.scale, found.cost));
  if (!found.missing.empty()) {
    section.notes.push_back(fmt::format("no Shapley values: without a CEG of {}", fmt::join(found.missing, "; ")));
  }
  section.columns = {
      {"part", Align::left}, {"alone", Align::right}, {"Shapley", Align::right}, {"interval", Align::left}};
  for (const auto& part : found.parts) {
    section.rows.push_back({{part.name, ceg_text(part.alone), part.shapley ? ceg_text(*part.shapley) : "",
                             interval_text(part.shapley_interval)},
                            std::nullopt,
                            Tone::plain});
  }
  section.rows.push_back({{"product of the parts", ceg_text(found.product), "", interval_text(found.product_interval)},
                          Bar{found.product, found.product_interval},
                          Tone::plain});
  std::optional<Interval> combined;
  for (const Row& row : analysis.rows) {
    if (row.variant == found.variant && row.scale == found.scale && row.cost == found.cost) combined = row.interval;
  }
  section.rows.push_back({{"all together", ceg_text(found.combined), "", interval_text(combined)},
                          Bar{found.combined, combined},
                          Tone::plain});
  section.rows.push_back(
      {{"together / product", ceg_text(found.interaction), "", interval_text(found.interaction_interval)},
       Bar{found.interaction, found.interaction_interval},
       Tone::dim});
  return section;
}

Section published_table(const Analysis& analysis) {
  Section section;
  section.title = "published values, for comparison";
  section.columns = {{"variant", Align::left}, {"innovation", Align::left}, {"setting", Align::left},
                     {"CEG", Align::right},    {"source", Align::left},     {"", Align::left}};
  for (const std::string& variant : analysis.variants) {
    if (variant == analysis.options.baseline) continue;
    for (const Published& value : published_for(variant)) {
      section.rows.push_back(
          {{variant, value.innovation, value.setting, value.ceg ? ceg_text(*value.ceg) : "not reached", value.source,
            value.auxiliary ? fmt::format("{} at its own best loss", ceg_text(*value.auxiliary)) : value.flag},
           std::nullopt,
           Tone::plain});
    }
  }
  return section;
}

}  // namespace

std::string interval_text(const std::optional<Interval>& interval) {
  return interval ? fmt::format("{} – {}", ceg_text(interval->low), ceg_text(interval->high)) : "";
}

std::string headline(const Analysis& analysis) {
  const Options& options = analysis.options;
  std::string how = options.method == Method::paper ? "evaluations until the smoothed loss is reached"
                    : options.method == Method::fit ? "factors of one fitted law"
                    : options.target                ? fmt::format("crossings of loss {:g}", *options.target)
                                                    : "crossings of the baseline's final loss";
  return fmt::format("Compute-equivalent gain over `{}` · {}: {}", options.baseline, method_name(options.method), how);
}

std::vector<Section> sections(const Analysis& analysis) {
  std::vector<Section> all;
  const auto add = [&](Section section) {
    if (!section.rows.empty()) all.push_back(std::move(section));
  };
  for (const CostAxis cost : analysis.costs) {
    if (!analysis.shows(cost)) continue;
    for (const std::string& scale : analysis.scales) add(main_table(analysis, scale, cost));
    add(reverse_table(analysis, cost));
    for (const std::string& scale : analysis.scales) add(threshold_table(analysis, scale, cost));
    if (analysis.scales.size() > 1) add(scale_table(analysis, cost));
    for (const Composition& composition : analysis.compositions) {
      if (composition.cost == cost) add(composition_table(analysis, composition));
    }
  }
  add(published_table(analysis));
  return all;
}

}  // namespace isoloss::ceg
