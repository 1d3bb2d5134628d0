// The report's sentences: what was found, how it was computed, what it does not say.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "tools/ceg/output/report/numbers.h"
#include "tools/ceg/output/report/sections.h"

namespace isoloss::ceg::report {
namespace {

std::string strong(std::string_view text) { return fmt::format("<strong>{}</strong>", escape(text)); }

/// A name for a sentence: long ones are cut, the table has them whole.
std::string brief(std::string_view name) { return shortened(name, 36); }

/// "a", "a and b", "a, b and c"; the items are HTML.
std::string listed(const std::vector<std::string>& items) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += i + 1 == items.size() ? " and " : ", ";
    text += items[i];
  }
  return text;
}

/// The row whose distance from the noise floor is the largest, of those that are clear of it.
const Row* strongest(const View& view, CostAxis cost) {
  const Row* best = nullptr;
  for (const Row& row : view.analysis().rows) {
    if (row.cost != cost || row.status != Status::reached || !row.ceg) continue;
    const Standing standing = view.standing(row);
    if (standing != Standing::above && standing != Standing::below) continue;
    if (!best || std::abs(std::log(*row.ceg)) > std::abs(std::log(*best->ceg))) best = &row;
  }
  return best;
}

std::string finding(const View& view, CostAxis cost, const Row* best) {
  if (!best) {
    const bool intervals = std::any_of(view.analysis().rows.begin(), view.analysis().rows.end(), [&](const Row& row) {
      return row.cost == cost && !row.a_a && marked_interval(row);
    });
    return intervals ? "No variant that reached the target differs from the baseline by more than the noise floor. "
                     : "There are no intervals, so nothing here can be told from noise. ";
  }
  const bool saves = *best->ceg > 1;
  std::string text = fmt::format(
      "The strongest effect is that of {} at scale {}: it reaches the baseline’s loss with {} the {}, a CEG of "
      "<strong>{}</strong>",
      strong(brief(best->variant)), escape(best->scale),
      saves ? fmt::format("{:.0f} % of", 100 / *best->ceg) : ratio_text(1 / *best->ceg) + " times", cost_unit(cost),
      ratio_text(best->ceg));
  if (best->interval) {
    text += fmt::format(" ({} {})", interval_name(view), interval_text(best->interval->low, best->interval->high));
  }
  return text + ". ";
}

std::string floor_sentence(const View& view, CostAxis cost) {
  std::vector<std::string> floors;
  for (const std::string& scale : view.scales(cost)) {
    if (const auto floor = view.floor(cost, scale)) {
      floors.push_back(fmt::format("{} to {} at {}", ratio_text(floor->low), ratio_text(floor->high), escape(scale)));
    }
  }
  if (floors.empty()) {
    return view.has_crossings() ? "The noise floor is unknown: a single seed cannot tell it. "
                                : "The noise floor is unknown: this method has none. ";
  }
  return fmt::format("The baseline compared with itself lands anywhere from {}: that is the noise floor. ",
                     listed(floors));
}

std::string variant_list(const View& view, CostAxis cost, Standing standing) {
  std::vector<std::string> names;
  for (const std::string& variant : view.compared(cost)) {
    std::vector<std::string> scales;
    for (const std::string& scale : view.scales(cost)) {
      const Row* row = view.row(cost, scale, variant);
      if (row && row->status == Status::reached && view.standing(*row) == standing) scales.push_back(escape(scale));
    }
    if (scales.empty()) continue;
    names.push_back(escape(brief(variant)) +
                    (scales.size() == view.scales(cost).size() ? "" : " (" + listed(scales) + ")"));
  }
  return listed(names);
}

std::string missed_list(const View& view, CostAxis cost) {
  std::vector<std::string> names;
  for (const Row& row : view.analysis().rows) {
    if (row.cost == cost && row.status == Status::not_reached) {
      names.push_back(fmt::format("{} at {}", escape(brief(row.variant)), escape(row.scale)));
    }
  }
  return listed(names);
}

std::string item(std::string_view term, std::string_view text) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>\n", term, text);
}

std::string method_words(const Options& options) {
  switch (options.method) {
    case Method::interpolate:
      return "A run reaches a loss at the first crossing of its running minimum, interpolated linearly in (log cost, "
             "loss). Points at cost 0 are left out. The curves in the figures are drawn as measured.";
    case Method::fit:
      return "L = E + A·(k·C)<sup>−α</sup> is fitted to all curves of a scale at once, with E, A and α shared and one "
             "compute factor k per variant: k is its CEG. The loss is Huber’s (δ = 0.001) on ln L, minimised from a "
             "grid of starts, as in Hoffmann et al. (2022).";
    case Method::paper:
      return "The estimator of arXiv 2505.04075: a trailing mean of eight evaluations (fewer at the start), the target "
             "is the smoothed baseline’s last value, and CEG is the ratio of the first evaluations at or under it, "
             "counted from 1.";
  }
  return "";
}

std::string interval_words(const View& view) {
  const Options& options = view.analysis().options;
  if (options.method == Method::paper) return "None: this estimator has no intervals.";
  if (options.method == Method::fit) {
    return fmt::format("{} % by a bootstrap over seeds with {} resamples (random seed {}).",
                       plain_text(100 * options.confidence), options.resamples, options.seed);
  }
  return fmt::format(
      "{} %, Student’s t on ln CEG. Its standard error comes from {} resamples (random seed {}) of the paired seeds "
      "and, "
      "where runs carry them, of the evaluation blocks, the same draws for every run.",
      plain_text(100 * options.confidence), options.resamples, options.seed);
}

std::string target_words(const Options& options) {
  if (options.target) return fmt::format("A loss of {} nats per token, as asked for.", fixed_text(options.target, 4));
  if (options.method == Method::paper) return "The smoothed baseline’s last value.";
  return "The baseline’s final loss at each scale: the mean over its seeds of their mean loss in the last tenth of "
         "their cost.";
}

}  // namespace

std::string interval_name(const View& view) {
  return plain_text(100 * view.analysis().options.confidence) + " % interval";
}

std::string summary(const View& view, CostAxis cost) {
  const Row* best = strongest(view, cost);
  std::vector<std::string> scales;
  for (const std::string& scale : view.scales(cost)) scales.push_back(escape(scale));
  const std::size_t a_a = static_cast<std::size_t>(
      std::count_if(view.analysis().variants.begin(), view.analysis().variants.end(), [&](const std::string& name) {
        const auto& rows = view.analysis().rows;
        return std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.a_a && row.variant == name; });
      }));
  const std::size_t compared = view.compared(cost).size();
  std::string text =
      fmt::format("{} compared with the baseline {} at {} ({}), counted in {}. ",
                  counted(compared - std::min(a_a, compared), "variant") +
                      (compared - std::min(a_a, compared) == 1 ? " was" : " were"),
                  strong(view.baseline()), counted(scales.size(), "scale"), listed(scales), cost_unit(cost));
  text += finding(view, cost, best);
  if (const std::string above = variant_list(view, cost, Standing::above); !above.empty()) {
    text += "Clearly above the noise: " + above + ". ";
  }
  if (const std::string below = variant_list(view, cost, Standing::below); !below.empty()) {
    text += "Clearly below it: " + below + ". ";
  }
  if (const std::string within = variant_list(view, cost, Standing::within); !within.empty()) {
    text += "Not clear of it: " + within + ". ";
  }
  if (const std::string missed = missed_list(view, cost); !missed.empty()) {
    text += "Never reached the target: " + missed + ". ";
  }
  text += floor_sentence(view, cost);
  return "<p class=\"lede\">" + text + "</p>\n";
}

std::string warning_box(const View& view) {
  const auto& warnings = view.analysis().warnings;
  if (warnings.empty()) return "";
  std::string list;
  bool of_one_axis = false;
  for (const Warning& warning : warnings) {
    of_one_axis = of_one_axis || warning.cost;
    // A warning about one axis comes and goes with that axis, as every other block of it does.
    list += warning.cost ? fmt::format("<li data-cost=\"{}\"><span class=\"tag\">{}</span> ", cost_name(*warning.cost),
                                       cost_unit(*warning.cost))
                         : "<li>";
    list += escape(warning.text) + "</li>\n";
  }
  return fmt::format(
      "<aside class=\"warnings\" aria-labelledby=\"warnings-title\"><h2 id=\"warnings-title\"><span "
      "aria-hidden=\"true\">⚠</span> Warnings</h2>\n<ul>\n{}</ul>{}</aside>\n",
      list,
      of_one_axis && view.analysis().costs.size() > 1
          ? "<p class=\"muted\">Warnings about a single cost axis stand with that axis.</p>"
          : "");
}

std::string definitions(const View& view) {
  return "<dl>\n" +
         item("Compute-equivalent gain (CEG)",
              "How many times the variant’s cost the baseline needs for the same validation loss: "
              "<span class=\"formula\">CEG(L) = C<sub>baseline</sub>(L) ÷ C<sub>variant</sub>(L)</span>. Above 1 the "
              "variant saves compute.") +
         item("Target", target_words(view.analysis().options)) +
         item("Noise floor",
              "The interval of the baseline against itself with other seeds (the A/A arm). A gain inside it is not a "
              "finding.") +
         item("Not clear of it",
              "The interval overlaps the noise floor or holds 1. That is not evidence of no effect.") +
         item("Not reached",
              "The variant never gets down to the target. Its CEG is at most the bound: the baseline’s cost over all "
              "that the variant spent. The auxiliary CEG compares the two at the variant’s own best loss. A run that "
              "diverged "
              "before its loss fell never gets there, and has no bound.") +
         item("≥ and ≤",
              "A curve that is at or under the loss at its first evaluation says only that it got there by then: its "
              "cost "
              "is at most that of the evaluation. The CEG is then at least the ratio, where it is the variant’s curve, "
              "or at most, where it is the baseline’s.") +
         item("At its own final loss",
              "The other direction: CEG read at the loss where the variant ends. “≥” also: the baseline never gets "
              "there.") +
         item(
             "Shapley factor",
             "What a part contributes to the combination, averaged over all orders of adding the parts, in ln CEG. The "
             "factors multiply to the combined CEG.") +
         item(
             "Scale dependence",
             fmt::format("The slope of ln CEG against ln compute. Under {} in absolute value (ten percent of CEG a "
                         "decade) CEG counts as independent of scale. “Detectable” is the smallest slope that would be "
                         "found in 80 of 100 such experiments.",
                         fixed_text(kIndependentSlope, 3))) +
         "</dl>\n";
}

std::string procedure(const View& view) {
  const Options& options = view.analysis().options;
  std::vector<std::string> axes;
  for (const CostAxis cost : view.analysis().costs) axes.push_back(escape(cost_unit(cost)));
  return "<dl>\n" +
         item("Method", fmt::format("<code>{}</code>. {}", method_name(options.method), method_words(options))) +
         item(
             "Seeds",
             "Runs with the same seed number see the same data in the same order and are compared with each other; the "
             "estimate is the geometric mean over the pairs. A seed without a partner is compared with the mean of the "
             "other side.") +
         item("Interval", interval_words(view)) + item("CostAxis axes", listed(axes) + ".") +
         item("What was done to the curves",
              "Nothing beyond what the method and the warnings say. Figures of loss start late enough to show the "
              "crossings; earlier "
              "points are outside the frame. Points less than half a pixel apart are drawn as one.") +
         "</dl>\n";
}

std::string limits() {
  return "<ul>\n"
         "<li>It holds for these scales, this text and this budget. Nothing here extrapolates, unless the section on "
         "scale says <em>independent</em>, and then only between the scales shown.</li>\n"
         "<li>It holds at the target loss. Where the threshold sweep is not flat, another target gives another "
         "number.</li>\n"
         "<li>It compares validation loss, not what a model can do with it.</li>\n"
         "<li>Every variant ran with the settings of its suite. A variant that wants another learning rate than the "
         "baseline is undervalued unless it was tuned.</li>\n"
         "<li>A change that only makes the same mathematics faster has a CEG of 1 in steps, tokens and FLOPs by "
         "definition; its gain is in seconds and joules, and those belong to one machine.</li>\n"
         "<li>Gains do not multiply unless the composition table says so.</li>\n"
         "<li>With many variants, some intervals miss by chance: at 95 %, one in twenty.</li>\n"
         "<li>Published values were measured elsewhere, on other text and mostly in steps: they are context, not a "
         "test.</li>\n"
         "</ul>\n";
}

std::string manifests(const View& view) {
  std::string text;
  for (const Run& run : view.analysis().runs) {
    const std::string name = fmt::format("{} · {} · seed {}", escape(run.variant), escape(run.scale), run.seed);
    const std::string source = escape(run.source.generic_string());
    if (run.manifest.empty()) {
      text += fmt::format("<p class=\"run\">{} <span class=\"muted\">{}: no manifest</span></p>\n", name, source);
      continue;
    }
    text += fmt::format(
        "<details class=\"run\"><summary>{} <span class=\"muted\">{}</span></summary><pre tabindex=\"0\">{}</pre>"
        "</details>\n",
        name, source, escape(run.manifest));
  }
  return text;
}

}  // namespace isoloss::ceg::report
