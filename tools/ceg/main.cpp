// ceg: compute-equivalent gain from measured loss curves.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "kernels/base/error.h"
#include "tools/ceg/ceg.h"
#include "tools/common/program.h"
#include "tools/common/usage.h"

namespace isoloss::ceg {
namespace {

struct Arguments {
  std::vector<std::string> paths;
  std::string baseline, method = "interpolate", cost = "steps", target = "final", format = "text", from, report;
  double confidence = 0.95;
  int resamples = 2000;
  std::uint64_t seed = 0;
};

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("PATH", arguments.paths, "Run folders, a sweep's folder, or CSV files")
      ->required()
      ->check(some_path());
  app.add_option("--baseline", arguments.baseline, "The variant that everything is compared with")->required();
  app.add_option("--method", arguments.method, "interpolate, fit or paper")->capture_default_str();
  app.add_option("--cost", arguments.cost, "steps, tokens, flops, flops_6nd, seconds, joules or all")
      ->capture_default_str();
  app.add_option("--target", arguments.target, "Loss to reach: final (the baseline's last tenth) or a number")
      ->capture_default_str();
  app.add_option("--confidence", arguments.confidence, "Of the intervals, between 0 and 1")->capture_default_str();
  app.add_option("--resamples", arguments.resamples, "Of the bootstrap, at least 100")
      ->capture_default_str()
      ->check(whole_number(100, 1'000'000));
  app.add_option("--seed", arguments.seed, "Of the bootstrap")
      ->capture_default_str()
      ->check(whole_number<std::uint64_t>());
  app.add_option("--format", arguments.format, "text, markdown, csv, json or latex")->capture_default_str();
  app.add_option("--from", arguments.from, "wandb: CSV files are Weights & Biases exports");
  app.add_option("--report", arguments.report, "Also write DIR/index.html, one self-contained page")
      ->check(some_path());
}

Method method_from(const std::string& name) {
  for (const Method method : {Method::interpolate, Method::fit, Method::paper}) {
    if (method_name(method) == name) return method;
  }
  fail_input("--method", "interpolate, fit or paper", name);
}

std::optional<double> target_from(const std::string& text) {
  if (text == "final") return std::nullopt;
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    fail_input("--target", "final or a number", text);
  }
  return value;
}

Options options_from(const Arguments& arguments) {
  Options options;
  options.baseline = arguments.baseline;
  options.method = method_from(arguments.method);
  if (arguments.cost == "all") {
    options.cost.reset();
  } else if (options.cost = cost_from_name(arguments.cost); !options.cost) {
    fail_input("--cost", "steps, tokens, flops, flops_6nd, seconds, joules or all", arguments.cost);
  }
  options.target = target_from(arguments.target);
  options.confidence = arguments.confidence;
  if (!(options.confidence > 0 && options.confidence < 1)) {
    fail_input("--confidence", "a number between 0 and 1", fmt::format("{}", options.confidence));
  }
  options.resamples = arguments.resamples;
  options.seed = arguments.seed;
  return options;
}

TextStyle terminal_style() {
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return {known ? size.ws_col : 120, stdout_has_colour()};
}

int run(const Arguments& arguments) {
  leave_when_interrupted();
  const Options options = options_from(arguments);
  const std::optional<Format> format = format_from_name(arguments.format);
  if (!format) fail_input("--format", "text, markdown, csv, json or latex", arguments.format);
  if (!arguments.from.empty() && arguments.from != "wandb") fail_input("--from", "wandb", arguments.from);
  if (!arguments.report.empty()) expect_possible_folder("--report", arguments.report);
  const CsvLayout layout = arguments.from == "wandb" ? CsvLayout::wandb : CsvLayout::isoloss;
  const Analysis analysis = analyse(read_runs({arguments.paths.begin(), arguments.paths.end()}, layout), options);
  if (!arguments.report.empty()) {
    write_report(analysis, arguments.report);
    say(fmt::format("report: {}", (std::filesystem::path(arguments.report) / "index.html").string()));
  }
  fmt::print("{}", text_of(analysis, *format, terminal_style()));
  return 0;
}

}  // namespace
}  // namespace isoloss::ceg

int main(int argc, char** argv) {
  isoloss::ceg::Arguments arguments;
  return isoloss::run_program(
      argc, argv, "ceg", "Compute-equivalent gain: how much more compute the baseline needs for the same loss.",
      "ceg runs/demo --baseline baseline --cost flops --report runs/demo/report",
      [&](CLI::App& app) { isoloss::ceg::add_options(app, arguments); }, [&] { return isoloss::ceg::run(arguments); });
}
