// The tables of the report.
#include <fmt/format.h>

#include <algorithm>

#include "tools/ceg/output/report/charts.h"
#include "tools/ceg/output/report/numbers.h"
#include "tools/ceg/output/report/sections.h"

namespace isoloss::ceg::report {
namespace {

std::string cell(std::string_view content) { return fmt::format("<td>{}</td>", content); }
std::string number_cell(std::string_view content) { return fmt::format("<td class=\"n\">{}</td>", content); }

std::string head_row(std::initializer_list<std::string_view> names) {
  std::string row = "<tr>";
  for (std::string_view name : names) {
    const bool number = name.starts_with('#');
    if (number) name.remove_prefix(1);
    row += fmt::format("<th scope=\"col\"{}>{}</th>", number ? " class=\"n\"" : "", escape(name));
  }
  return row + "</tr>";
}

std::string scale_heading(std::string_view words, std::size_t columns) {
  return fmt::format(
      "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{}\"><span class=\"stay\">{}</span></th></tr>\n", columns,
      words);
}

std::string interval_cell(const std::optional<Interval>& interval) {
  return number_cell(interval ? interval_text(interval->low, interval->high) : std::string(kDash));
}

std::string standing_text(const View& view, const Row& row) {
  if (row.a_a) return "<span class=\"muted\">baseline against itself</span>";
  switch (view.standing(row)) {
    case Standing::above:
      return "<span class=\"above\">▲ above it</span>";
    case Standing::below:
      return "<span class=\"below\">▼ below it</span>";
    case Standing::within:
      return "<span class=\"within\">● not clear of it</span>";
    case Standing::unknown:
      break;
  }
  return std::string(kDash);
}

std::string reverse_text(const Row& row) {
  if (!row.reverse) return std::string(kDash);
  const std::string at = fmt::format(" <span class=\"muted\">at {}</span>", fixed_text(row.reverse->target, 3));
  if (row.reverse->ceg) return ratio_text(row.reverse->ceg) + at;
  return bound_text(row.reverse->bound) + at;
}

std::string gain_cells(const Row& row) {
  const std::string remark =
      row.remark.empty() ? "" : fmt::format("<br><span class=\"muted\">{}</span>", escape(row.remark));
  if (row.status == Status::reached) {
    const std::string interval =
        row.interval ? interval_text(row.interval->low, row.interval->high) : std::string(kDash);
    return fmt::format("<td class=\"n strong\">{}</td>", row.ceg ? ratio_text(row.ceg) : bound_text(row.bound)) +
           number_cell(interval + remark);
  }
  std::string details = bound_text(row.bound);
  if (row.gap) details += fmt::format("<br><span class=\"muted\">{} nats short</span>", fixed_text(row.gap, 3));
  if (row.auxiliary) details += fmt::format("<br><span class=\"muted\">auxiliary {}</span>", ratio_text(row.auxiliary));
  return "<td class=\"n\">not reached</td>" + number_cell(details + remark);
}

std::string seed_text(std::optional<std::int64_t> seed) { return seed ? std::to_string(*seed) : "mean"; }

/// As many decimals as were published, at least two.
std::string as_published(double value) {
  const std::string digits = plain_text(value);
  const std::size_t point = digits.find('.');
  return point == std::string::npos || digits.size() - point < 3 ? fixed_text(value, 2) : digits;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + escape(name);
  return text;
}

}  // namespace

std::string table_box(std::string_view label, std::string_view head, std::string_view body, std::string_view classes) {
  // A scrolling box must be reachable by keyboard and needs a name for that.
  return fmt::format(
      "<div class=\"box {}\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><table>\n<thead>{}</thead>\n<tbody>\n{}"
      "</tbody></table></div>\n",
      classes, escape(label), head, body);
}

std::string gain_table(const View& view, CostAxis cost) {
  std::string body;
  for (const std::string& scale : view.scales(cost)) {
    std::string words = "Scale " + escape(scale);
    std::string extra;
    if (const auto target = view.target(cost, scale)) extra += " target loss " + fixed_text(target, 4);
    if (const auto floor = view.floor(cost, scale)) {
      extra += (extra.empty() ? " " : " · ") + ("noise floor " + interval_text(floor->low, floor->high));
    }
    if (!extra.empty()) words += " <span class=\"plain\">" + extra + "</span>";
    body += scale_heading(words, 7);
    for (const std::string& variant : view.compared(cost)) {
      const Row* row = view.row(cost, scale, variant);
      if (!row) continue;
      const std::string shown_class = row->a_a                     ? "A/A"
                                      : row->variant_class.empty() ? std::string(kDash)
                                                                   : escape(row->variant_class);
      body += fmt::format("<tr><th scope=\"row\"><span class=\"arm\">{}<span class=\"name\">{}</span></span></th>",
                          swatch(view.look(variant)), escape(variant)) +
              gain_cells(*row) + cell(standing_text(view, *row)) + number_cell(reverse_text(*row)) +
              number_cell(row->pairs == 0 || row->pairs == row->seeds
                              ? std::to_string(row->seeds)
                              : fmt::format("{}, {} paired", row->seeds, row->pairs)) +
              "<td class=\"class\">" + shown_class + "</td></tr>\n";
    }
  }
  return table_box(fmt::format("Compute-equivalent gain in {}", cost_unit(cost)),
                   head_row({"Variant", "#CEG", "#" + interval_name(view), "Noise floor", "#At its own final loss",
                             "#Seeds", "Class"}),
                   body, "main");
}

std::string composition_table(const View& view, CostAxis cost) {
  std::string body;
  const auto line = [&](std::string_view classes, std::string_view name, double ceg,
                        const std::optional<Interval>& interval, const Composition::Part* part) {
    body += fmt::format("<tr{}><th scope=\"row\"><span class=\"name\">{}</span></th>", classes, name) +
            number_cell(ratio_text(ceg)) + interval_cell(interval);
    body +=
        part ? number_cell(ratio_text(part->shapley)) + interval_cell(part->shapley_interval) : "<td></td><td></td>";
    body += "</tr>\n";
  };
  for (const Composition& composition : view.analysis().compositions) {
    if (composition.cost != cost) continue;
    const auto measured = [&](const std::string& variant) {
      const Row* row = view.row(cost, composition.scale, variant);
      return row ? row->interval : std::nullopt;
    };
    body += scale_heading(fmt::format("{} at scale {}", escape(composition.variant), escape(composition.scale)), 5);
    for (const Composition::Part& part : composition.parts) {
      line("", escape(part.name), part.alone, measured(part.name), &part);
    }
    line(" class=\"total\"", "Product of the parts", composition.product, composition.product_interval, nullptr);
    line(" class=\"strong\"", "Measured together", composition.combined, measured(composition.variant), nullptr);
    line("", "Together ÷ product", composition.interaction, composition.interaction_interval, nullptr);
    if (!composition.missing.empty()) {
      body += fmt::format("<tr><td colspan=\"5\" class=\"muted wrap\">No Shapley values; not run: {}.</td></tr>\n",
                          joined(composition.missing));
    }
  }
  if (body.empty()) return "";
  const std::string interval = "#" + interval_name(view);
  return table_box(fmt::format("Composition in {}", cost_unit(cost)),
                   head_row({"Part", "#CEG", interval, "#Shapley factor", interval}), body);
}

std::string scale_table(const View& view, CostAxis cost) {
  std::string body;
  for (const ScaleFit& fit : view.analysis().scale_fits) {
    if (fit.cost != cost) continue;
    body += fmt::format("<tr><th scope=\"row\"><span class=\"arm\">{}<span class=\"name\">{}</span></span></th>",
                        swatch(view.look(fit.variant)), escape(fit.variant)) +
            number_cell(signed_text(fit.slope, 3)) +
            number_cell(fit.slope_interval
                            ? signed_text(fit.slope_interval->low, 3) + " – " + signed_text(fit.slope_interval->high, 3)
                            : std::string(kDash)) +
            number_cell(fixed_text(fit.detectable_slope, 3)) + cell(escape(verdict_name(fit.verdict))) +
            fmt::format("<td class=\"wrap muted\">{}</td></tr>\n", escape(fit.reason));
  }
  if (body.empty()) return "";
  return table_box(fmt::format("Scale dependence in {}", cost_unit(cost)),
                   head_row({"Variant", "#Slope", "#" + interval_name(view), "#Detectable", "Verdict", "Why"}), body);
}

std::string law_table(const View& view, CostAxis cost) {
  std::string body;
  for (const ScaleLaw& law : view.analysis().laws) {
    if (law.cost != cost) continue;
    body += fmt::format("<tr><th scope=\"row\">{}</th>", escape(law.scale)) + number_cell(fixed_text(law.e, 4)) +
            number_cell(quantity_text(law.a)) + number_cell(fixed_text(law.alpha, 4)) +
            number_cell(fixed_text(100 * law.residual, 2) + " %") + number_cell(fixed_text(100 * law.worst, 2) + " %") +
            number_cell(std::to_string(law.points)) + number_cell(quantity_text(law.from_cost)) + "</tr>\n";
  }
  if (body.empty()) return "";
  return table_box(fmt::format("Fitted law in {}", cost_unit(cost)),
                   head_row({"Scale", "#E", "#A", "#α", "#Residual", "#Worst", "#Points", "#From cost"}), body);
}

std::string crossing_table(const View& view, CostAxis cost) {
  std::string body;
  for (const Row& row : view.analysis().rows) {
    if (row.cost != cost) continue;
    for (const SeedResult& seed : row.per_seed) {
      const auto cost_cell = [](double value, bool reached, bool early) {
        return number_cell(fmt::format("{}{}{}", reached ? "" : "<span class=\"muted\">short of it:</span> ",
                                       early ? "≤ " : "", quantity_text(value)));
      };
      body += fmt::format("<tr><th scope=\"row\"><span class=\"name\">{}</span></th>", escape(row.variant)) +
              cell(escape(row.scale)) + number_cell(seed_text(seed.baseline_seed)) +
              number_cell(seed_text(seed.variant_seed)) + number_cell(fixed_text(seed.target, 4)) +
              cost_cell(seed.baseline_cost, seed.baseline_reached, seed.baseline_early) +
              cost_cell(seed.variant_cost, seed.variant_reached, seed.variant_early) +
              number_cell(seed.exact() ? ratio_text(seed.ceg) : std::string(kDash)) + "</tr>\n";
    }
  }
  if (body.empty()) return "";
  return table_box(fmt::format("Crossings of every seed in {}", cost_unit(cost)),
                   head_row({"Variant", "Scale", "#Baseline's seed", "#Variant's seed", "#At loss", "#Baseline's cost",
                             "#Variant's cost", "#CEG"}),
                   body);
}

std::string noise_table(const View& view, CostAxis cost) {
  std::string body;
  for (const NoiseFloor& floor : view.analysis().noise_floor) {
    if (floor.cost != cost) continue;
    body += fmt::format("<tr><th scope=\"row\">{}</th>", escape(floor.scale)) + interval_cell(floor.interval) +
            fmt::format("<td class=\"wrap\">{}</td></tr>\n", escape(floor.source));
  }
  if (body.empty()) return "";
  return table_box(fmt::format("Noise floor in {}", cost_unit(cost)), head_row({"Scale", "#Noise floor", "From"}),
                   body);
}

std::string published_table(const View& view) {
  const auto notes = view.notes();
  if (notes.empty()) return "";
  std::string body;
  std::vector<std::string> shown;
  for (const std::string& variant : view.analysis().variants) {
    for (const Published& value : published_for(variant)) {
      const std::string key = value.innovation + "\n" + value.setting + "\n" + value.source;
      if (std::find(shown.begin(), shown.end(), key) != shown.end()) continue;
      shown.push_back(key);
      const std::string auxiliary =
          value.auxiliary ? "not reached<br>auxiliary " + as_published(*value.auxiliary) : "not reached";
      body += fmt::format("<tr><th scope=\"row\">{}</th>", escape(value.innovation)) + cell(escape(value.setting)) +
              number_cell(value.ceg ? as_published(*value.ceg) : auxiliary) +
              cell(fmt::format("[{}]", View::note_number(notes, value))) + "</tr>\n";
    }
  }
  std::string list;
  for (const Note& note : notes) {
    constexpr std::string_view kPrefix = "arXiv ";
    std::string source = escape(note.source);
    if (note.source.starts_with(kPrefix)) {
      const std::string identifier = escape(note.source.substr(kPrefix.size()));
      source = fmt::format("<a href=\"https://arxiv.org/abs/{0}\">arXiv {0}</a>", identifier);
    }
    list += fmt::format("<li>{}{}{}</li>\n", source, note.flag.empty() ? "" : ": <em class=\"flag\">",
                        note.flag.empty() ? "" : escape(note.flag) + "</em>");
  }
  return table_box("Published values", head_row({"Innovation", "Setting", "#CEG as published", "Source"}), body) +
         "<ol class=\"notes\">\n" + list + "</ol>\n";
}

std::string run_table(const View& view) {
  std::string body;
  for (const Run& run : view.analysis().runs) {
    double best = 0, last = 0;
    std::array<std::optional<double>, kCosts> spent;
    for (const Point& point : run.points) {
      best = &point == run.points.data() ? point.val_loss : std::min(best, point.val_loss);
      last = point.val_loss;
      for (std::size_t axis = 0; axis < spent.size(); ++axis) {
        if (point.cost[axis]) spent[axis] = point.cost[axis];
      }
    }
    const auto total = [&](CostAxis cost) { return number_cell(quantity_text(spent[static_cast<std::size_t>(cost)])); };
    const bool any = !run.points.empty();
    body += fmt::format("<tr><th scope=\"row\"><span class=\"name\">{}</span></th>", escape(run.variant)) +
            cell(escape(run.scale)) + number_cell(std::to_string(run.seed)) +
            number_cell(std::to_string(run.points.size())) + number_cell(any ? fixed_text(last, 4) : "–") +
            number_cell(any ? fixed_text(best, 4) : "–") + total(CostAxis::steps) + total(CostAxis::tokens) +
            total(CostAxis::flops) + total(CostAxis::seconds) + cell(run.status.empty() ? "–" : escape(run.status)) +
            cell(run.hardware.empty() ? "–" : escape(run.hardware)) + "</tr>\n";
  }
  return table_box("Runs",
                   head_row({"Variant", "Scale", "#Seed", "#Evaluations", "#Final loss", "#Best loss", "#Steps",
                             "#Tokens", "#FLOPs", "#Seconds", "Status", "Hardware"}),
                   body);
}

}  // namespace isoloss::ceg::report
