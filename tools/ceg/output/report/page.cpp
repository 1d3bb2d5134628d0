// Puts the page together.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "tools/ceg/output/report/charts.h"
#include "tools/ceg/output/report/numbers.h"
#include "tools/ceg/output/report/report.h"
#include "tools/ceg/output/report/sections.h"

namespace isoloss::ceg {
namespace report {
namespace {

std::string figure(std::string_view content, std::string_view caption) {
  return fmt::format("<figure>\n{}<figcaption>{}</figcaption></figure>\n", content, caption);
}

/// One block per cost axis; the script shows one at a time, and without it all stand one after the other.
std::string by_cost(const View& view, const std::function<std::string(CostAxis)>& content) {
  std::string blocks;
  for (const CostAxis cost : view.analysis().costs) {
    const std::string block = content(cost);
    if (block.empty()) continue;
    blocks += fmt::format("<div data-cost=\"{}\"><p class=\"axis-name\">in {}</p>\n{}</div>\n", cost_name(cost),
                          escape(cost_unit(cost)), block);
  }
  return blocks;
}

std::string section(std::string_view id, std::string_view title, std::string_view introduction,
                    std::string_view content) {
  if (content.empty()) return "";
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}</h2>\n{2}{3}</section>\n", id, title,
      introduction.empty() ? "" : fmt::format("<p>{}</p>\n", introduction), content);
}

std::string axis_switch(const View& view) {
  if (view.analysis().costs.size() < 2) return "";
  std::string buttons;
  for (const CostAxis cost : view.analysis().costs) {
    buttons += fmt::format("<button type=\"button\" data-axis=\"{}\" aria-pressed=\"{}\">{}</button>", cost_name(cost),
                           cost == view.first_cost() ? "true" : "false", escape(cost_unit(cost)));
  }
  return fmt::format(
      "<div class=\"switch\" role=\"group\" aria-label=\"CostAxis axis\" hidden><span class=\"switch-label\">CostAxis "
      "in</span>"
      "<div class=\"switch-buttons\">{}</div></div>\n",
      buttons);
}

std::string legend(const View& view, const std::vector<std::string>& variants, std::string_view classes) {
  std::string items;
  for (const std::string& variant : variants) {
    items += fmt::format("<li>{}<span class=\"name\">{}</span></li>", swatch(view.look(variant)), escape(variant));
  }
  return fmt::format("<ul class=\"legend {}\">{}</ul>\n", classes, items);
}

std::string panel(const View& view, std::string_view variant, std::string_view drawing, std::string_view figures) {
  if (drawing.empty()) return "";
  return fmt::format("<div class=\"cell\"><h4>{}<span class=\"name\">{}</span>{}</h4>{}</div>\n",
                     swatch(view.look(variant)), escape(variant),
                     figures.empty() ? "" : fmt::format(" <span class=\"muted\">{}</span>", escape(figures)), drawing);
}

std::string grid(std::string_view panels) {
  return panels.empty() ? "" : fmt::format("<div class=\"grid-box\">\n{}</div>\n", panels);
}

std::string forest_section(const View& view) {
  constexpr std::string_view kHollow =
      "Hollow marker: auxiliary CEG of a variant that did not reach the target, with an arrow left of its bound. ";
  constexpr std::string_view kDiamond = "Hollow diamond: published value.";
  const std::string key =
      view.has_crossings()
          ? fmt::format(
                "Filled marker and whiskers: this measurement and its {}. Grey band: noise floor of that "
                "scale. {}Arrow heads on whiskers: the interval goes on outside the frame. {}",
                interval_name(view), kHollow, kDiamond)
          : fmt::format("Filled marker: this measurement. {}{}", kHollow, kDiamond);
  const std::string notes = published_table(view);
  return section("forest", "Gains at a glance", "",
                 by_cost(view,
                         [&](CostAxis cost) {
                           return figure(
                               forest_chart(view, cost, Frame::wide) + forest_chart(view, cost, Frame::narrow), key);
                         }) +
                     (notes.empty() ? ""
                                    : "<h3>Published values beside ours</h3>\n<p>As printed by their authors, on their "
                                      "own cost axis and text.</p>\n" +
                                          notes));
}

std::string loss_section(const View& view) {
  return section(
      "loss", "Loss against compute",
      view.has_crossings()
          ? "CEG is a horizontal distance between two curves at one loss. Every line is one run; markers show where it "
            "first reaches the target (dashed), hollow ones where a run fell short and is compared at a higher loss. "
            "Grey band: crossings that cannot be told from the baseline’s."
          : "CEG is a horizontal distance between two curves at one loss, which this method takes from smoothed curves "
            "in counts of evaluations. Every line is one run as measured; dashed: the target.",
      by_cost(view, [&](CostAxis cost) {
        std::string blocks;
        for (const std::string& scale : view.scales(cost)) {
          std::vector<std::string> variants = view.compared(cost);
          variants.insert(variants.begin(), view.baseline());
          blocks +=
              fmt::format("<h3>Scale {}</h3>\n", escape(scale)) +
              figure(
                  loss_chart(view, cost, scale, Frame::wide) + loss_chart(view, cost, scale, Frame::narrow) +
                      legend(view, variants, "narrow"),
                  "All runs. The first stretch of training is left of the frame, so that the crossings can be seen.");
          std::string panels;
          for (const std::string& variant : view.compared(cost)) {
            const Row* row = view.row(cost, scale, variant);
            if (row) panels += panel(view, variant, crossing_panel(view, cost, scale, variant), row_text(*row));
          }
          blocks += figure(grid(panels),
                           view.has_crossings()
                               ? "Each variant against the baseline (grey), close to the crossings. The arrow is the "
                                 "gain; a crossing in the grey band is within the noise floor."
                               : "Each variant against the baseline (grey).");
        }
        return blocks;
      }));
}

std::string threshold_section(const View& view) {
  return section(
      "thresholds", "Does the target matter?",
      "CEG read at every loss that all runs of both sides reach. Band: interval; grey: noise floor; dashed: the "
      "target of the table. A flat line means that the number does not hang on the choice of target.",
      by_cost(view, [&](CostAxis cost) {
        std::string blocks;
        for (const std::string& scale : view.scales(cost)) {
          std::string panels;
          for (const std::string& variant : view.compared(cost)) {
            panels += panel(view, variant, threshold_panel(view, cost, scale, variant), "");
          }
          if (!panels.empty()) {
            blocks += fmt::format("<h3>Scale {}</h3>\n", escape(scale)) + grid(panels);
          }
        }
        return blocks;
      }));
}

std::string scale_section(const View& view) {
  return section("scaling", "Does scale matter?",
                 "ln CEG against ln compute. A slope above 0: the gain grows with scale. Two scales give a line but no "
                 "interval of its slope; three or more give both.",
                 by_cost(view, [&](CostAxis cost) {
                   std::string panels;
                   for (const ScaleFit& fit : view.analysis().scale_fits) {
                     if (fit.cost == cost) {
                       panels += panel(view, fit.variant, scale_panel(view, fit), verdict_name(fit.verdict));
                     }
                   }
                   return grid(panels) + scale_table(view, cost);
                 }));
}

std::string run_section(const View& view) {
  const std::string crossings = by_cost(view, [&](CostAxis cost) { return crossing_table(view, cost); });
  return section(
      "runs", "Runs", "",
      run_table(view) +
          (crossings.empty() ? ""
                             : "<details><summary>Crossings of every seed</summary>\n" + crossings + "</details>\n") +
          "<h3>Manifests</h3>\n" + manifests(view));
}

}  // namespace
}  // namespace report

std::string report_page(const Analysis& analysis) {
  using namespace report;
  const View view(analysis);
  const std::string title = "Compute-equivalent gain over " + escape(analysis.options.baseline);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n"
      "<body data-first=\"{}\">\n<main>\n<header><p class=\"kicker\">isoloss · compute-equivalent gain</p>\n"
      "<h1>How much compute is each innovation worth?</h1>\n",
      title, style_sheet(), cost_name(view.first_cost()));
  page += by_cost(view, [&](CostAxis cost) { return summary(view, cost); }) + "</header>\n";
  page += warning_box(view);
  page += axis_switch(view);
  page += section(
      "table", "Compute-equivalent gain",
      "CostAxis of the baseline over cost of the variant, at the same validation loss. Above 1: the variant saves "
      "compute.",
      by_cost(view, [&](CostAxis cost) { return gain_table(view, cost); }));
  page += forest_section(view);
  page += loss_section(view);
  page += threshold_section(view);
  page += scale_section(view);
  page += section("composition", "Do gains multiply?",
                  "A combination beside the product of its parts. “Together ÷ product” above 1: the parts help each "
                  "other; below 1: they overlap.",
                  by_cost(view, [&](CostAxis cost) { return composition_table(view, cost); }));
  page += section("laws", "Fitted laws",
                  "L = E + A·(k·C)<sup>−α</sup>; the residual is the root mean square of ln(measured ÷ fitted).",
                  by_cost(view, [&](CostAxis cost) { return law_table(view, cost); }));
  page += section("noise", "Noise floor", "How far from 1 the baseline lands when it is compared with itself.",
                  by_cost(view, [&](CostAxis cost) { return noise_table(view, cost); }));
  page += section("definitions", "What the words mean", "", definitions(view));
  page += section("procedure", "How it was computed", "", procedure(view));
  page += section("limits", "What this table does not say", "", limits());
  page += run_section(view);
  page += fmt::format("</main>\n<script>\n{}</script>\n</body>\n</html>\n", script());
  return page;
}

void write_report(const Analysis& analysis, const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) fail_run(directory.string(), "a folder for the report", error.message());
  write_file_atomically(directory / "index.html", report_page(analysis));
}

}  // namespace isoloss::ceg
