// The analysis as data: JSON and CSV.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/ceg/output/output.h"

namespace isoloss::ceg {
namespace {
using Json = nlohmann::ordered_json;

Json number(std::optional<double> value) { return value && std::isfinite(*value) ? Json(*value) : Json(); }
Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }
Json low_of(const std::optional<Interval>& interval) { return interval ? number(interval->low) : Json(); }
Json high_of(const std::optional<Interval>& interval) { return interval ? number(interval->high) : Json(); }

std::optional<double> value_of(const std::optional<Bound>& bound) {
  return bound ? std::optional(bound->value) : std::nullopt;
}

/// Ends of the interval of a CEG. A row that reached the target but knows only a bound has that as its one end.
std::optional<double> low_end(const Row& row) {
  if (row.interval) return row.interval->low;
  return row.status == Status::reached && row.bound && row.bound->at_least ? value_of(row.bound) : std::nullopt;
}
std::optional<double> high_end(const Row& row) {
  if (row.interval) return row.interval->high;
  return row.status == Status::reached && row.bound && !row.bound->at_least ? value_of(row.bound) : std::nullopt;
}

Json kind_of(const std::optional<Bound>& bound) {
  return bound ? Json(bound->at_least ? "at_least" : "at_most") : Json();
}

Json row_json(const Row& row, bool with_cost) {
  Json json{{"variant", row.variant},
            {"scale", row.scale},
            {"class", text_or_null(row.variant_class)},
            {"target", number(row.target)},
            {"status", status_name(row.status)},
            {"ceg", number(row.ceg)},
            {"low", number(low_end(row))},
            {"high", number(high_end(row))},
            {"seeds", row.seeds},
            {"bound", number(value_of(row.bound))},
            {"gap", number(row.gap)},
            {"auxiliary_ceg", number(row.auxiliary)}};
  if (with_cost) json["cost"] = cost_name(row.cost);
  return json;
}

Json seed_json(const SeedResult& seed) {
  return {{"baseline_seed", seed.baseline_seed ? Json(*seed.baseline_seed) : Json()},
          {"variant_seed", seed.variant_seed ? Json(*seed.variant_seed) : Json()},
          {"target", number(seed.target)},
          {"baseline_cost", number(seed.baseline_cost)},
          {"variant_cost", number(seed.variant_cost)},
          {"ceg", seed.exact() ? number(seed.ceg) : Json()},
          {"baseline_reached", seed.baseline_reached},
          {"variant_reached", seed.variant_reached},
          {"baseline_cost_is_bound", seed.baseline_early},
          {"variant_cost_is_bound", seed.variant_early}};
}

Json row_details(const Row& row) {
  Json seeds = Json::array(), reverse;
  for (const SeedResult& seed : row.per_seed) seeds.push_back(seed_json(seed));
  if (row.reverse) {
    reverse = {{"target", number(row.reverse->target)},    {"status", status_name(row.reverse->status)},
               {"ceg", number(row.reverse->ceg)},          {"low", low_of(row.reverse->interval)},
               {"high", high_of(row.reverse->interval)},   {"bound", number(value_of(row.reverse->bound))},
               {"bound_kind", kind_of(row.reverse->bound)}};
  }
  return {{"variant", row.variant},
          {"scale", row.scale},
          {"cost", cost_name(row.cost)},
          {"a_a", row.a_a},
          {"pairs", row.pairs},
          {"failed", row.failed},
          {"bound_kind", kind_of(row.bound)},
          {"remark", text_or_null(row.remark)},
          {"auxiliary_low", low_of(row.auxiliary_interval)},
          {"auxiliary_high", high_of(row.auxiliary_interval)},
          {"reverse", reverse},
          {"per_seed", seeds}};
}

Json threshold_json(const ThresholdSweep& sweep) {
  Json points = Json::array();
  for (const ThresholdPoint& point : sweep.points) {
    points.push_back({{"target", number(point.target)},
                      {"ceg", number(point.ceg)},
                      {"low", low_of(point.interval)},
                      {"high", high_of(point.interval)}});
  }
  return {{"variant", sweep.variant}, {"scale", sweep.scale}, {"cost", cost_name(sweep.cost)}, {"points", points}};
}

Json scale_fit_json(const ScaleFit& fit) {
  Json samples = Json::array();
  for (const auto& sample : fit.samples) {
    samples.push_back({{"scale", sample.scale},
                       {"compute", number(sample.compute)},
                       {"ceg", number(sample.ceg)},
                       {"low", low_of(sample.interval)},
                       {"high", high_of(sample.interval)}});
  }
  return {{"variant", fit.variant},
          {"cost", cost_name(fit.cost)},
          {"verdict", verdict_name(fit.verdict)},
          {"reason", fit.reason},
          {"slope", number(fit.slope)},
          {"slope_low", low_of(fit.slope_interval)},
          {"slope_high", high_of(fit.slope_interval)},
          {"detectable_slope", number(fit.detectable_slope)},
          {"samples", samples}};
}

Json composition_json(const Composition& found) {
  Json parts = Json::array();
  for (const auto& part : found.parts) {
    parts.push_back({{"name", part.name},
                     {"alone", number(part.alone)},
                     {"shapley", number(part.shapley)},
                     {"shapley_low", low_of(part.shapley_interval)},
                     {"shapley_high", high_of(part.shapley_interval)}});
  }
  return {{"variant", found.variant},
          {"scale", found.scale},
          {"cost", cost_name(found.cost)},
          {"combined", number(found.combined)},
          {"product", number(found.product)},
          {"product_low", low_of(found.product_interval)},
          {"product_high", high_of(found.product_interval)},
          {"interaction", number(found.interaction)},
          {"interaction_low", low_of(found.interaction_interval)},
          {"interaction_high", high_of(found.interaction_interval)},
          {"parts", parts},
          {"missing", found.missing}};
}

Json law_json(const ScaleLaw& law) {
  return {{"scale", law.scale},         {"cost", cost_name(law.cost)}, {"e", number(law.e)},
          {"a", number(law.a)},         {"alpha", number(law.alpha)},  {"residual", number(law.residual)},
          {"worst", number(law.worst)}, {"points", law.points},        {"from_cost", number(law.from_cost)}};
}

Json published_json(const Analysis& analysis) {
  Json all = Json::array();
  for (const std::string& variant : analysis.variants) {
    for (const Published& value : published_for(variant)) {
      all.push_back({{"variant", variant},
                     {"innovation", value.innovation},
                     {"setting", value.setting},
                     {"ceg", number(value.ceg)},
                     {"auxiliary_ceg", number(value.auxiliary)},
                     {"source", value.source},
                     {"flag", text_or_null(value.flag)}});
    }
  }
  return all;
}

/// Turns the items of one axis list into JSON, those of axes that are not shown left out.
template <class T, class F>
Json shown(const Analysis& analysis, const std::vector<T>& items, F&& to_json) {
  Json list = Json::array();
  for (const T& item : items) {
    if (analysis.shows(item.cost)) list.push_back(to_json(item));
  }
  return list;
}

Json details(const Analysis& analysis) {
  const Options& options = analysis.options;
  return {{"options",
           {{"target", options.target ? number(options.target) : Json("final")},
            {"confidence", options.confidence},
            {"resamples", options.resamples},
            {"seed", options.seed}}},
          {"rows", shown(analysis, analysis.rows, row_details)},
          {"noise_floor",
           shown(analysis, analysis.noise_floor,
                 [](const NoiseFloor& floor) {
                   return Json{{"scale", floor.scale}, {"cost", cost_name(floor.cost)}, {"source", floor.source}};
                 })},
          {"thresholds", shown(analysis, analysis.thresholds, threshold_json)},
          {"scale_fits", shown(analysis, analysis.scale_fits, scale_fit_json)},
          {"compositions", shown(analysis, analysis.compositions, composition_json)},
          {"laws", shown(analysis, analysis.laws, law_json)},
          {"published", published_json(analysis)}};
}

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

std::string cell(std::optional<double> value) {
  return value && std::isfinite(*value) ? fmt::format("{}", *value) : "";
}
std::string cell_low(const std::optional<Interval>& interval) { return interval ? cell(interval->low) : ""; }
std::string cell_high(const std::optional<Interval>& interval) { return interval ? cell(interval->high) : ""; }

}  // namespace

std::string as_json(const Analysis& analysis) {
  const bool with_cost = !analysis.options.cost;
  Json json;
  json["baseline"] = analysis.options.baseline;
  json["method"] = method_name(analysis.options.method);
  json["cost"] = with_cost ? "all" : cost_name(*analysis.options.cost);
  json["rows"] = shown(analysis, analysis.rows, [&](const Row& row) { return row_json(row, with_cost); });
  json["noise_floor"] = shown(analysis, analysis.noise_floor, [&](const NoiseFloor& floor) {
    Json item{{"scale", floor.scale}, {"low", low_of(floor.interval)}, {"high", high_of(floor.interval)}};
    if (with_cost) item["cost"] = cost_name(floor.cost);
    return item;
  });
  json["warnings"] = Json::array();
  for (const Warning& warning : analysis.warnings) {
    if (analysis.shows(warning)) json["warnings"].push_back(warning.text);
  }
  json["details"] = details(analysis);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string as_csv(const Analysis& analysis) {
  std::string out = "record,variant,scale,class,cost,target,status,ceg,low,high,seeds,bound,gap,auxiliary_ceg,text\n";
  for (const Row& row : analysis.rows) {
    if (!analysis.shows(row.cost)) continue;
    out += fmt::format("row,{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", quoted(row.variant), quoted(row.scale),
                       quoted(row.variant_class), cost_name(row.cost), cell(row.target), status_name(row.status),
                       cell(row.ceg), cell(low_end(row)), cell(high_end(row)), row.seeds, cell(value_of(row.bound)),
                       cell(row.gap), cell(row.auxiliary), quoted(row.remark));
  }
  for (const NoiseFloor& floor : analysis.noise_floor) {
    if (!analysis.shows(floor.cost)) continue;
    out += fmt::format("noise_floor,,{},,{},,,,{},{},,,,,{}\n", quoted(floor.scale), cost_name(floor.cost),
                       cell_low(floor.interval), cell_high(floor.interval), quoted(floor.source));
  }
  for (const Warning& warning : analysis.warnings) {
    if (!analysis.shows(warning)) continue;
    out +=
        fmt::format("warning,,,,{},,,,,,,,,,{}\n", warning.cost ? cost_name(*warning.cost) : "", quoted(warning.text));
  }
  return out;
}

}  // namespace isoloss::ceg
