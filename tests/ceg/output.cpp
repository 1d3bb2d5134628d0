// What is printed: the JSON contract, CSV, Markdown, LaTeX and text.
#include "tools/ceg/output/output.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/base/philox.h"
#include "synthetic.h"
#include "tools/ceg/input/csv.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;
using nlohmann::json;

namespace {

/// Two scales, a gain, a variant that falls short, an A/A arm, a curve twice, a hostile name, unpaired seeds.
Analysis sample(Options options) {
  std::vector<Run> runs;
  for (const std::string scale : {"small", "large"}) {
    for (int s = 1; s <= 3; ++s) {
      Philox random(5, static_cast<std::uint64_t>(s) + scale.size());
      const auto luck = [&] { return std::exp(0.03 * random.normal()); };
      const auto steps = even_steps(40, scale == "small" ? 10 : 40);
      runs.push_back(make_run("baseline", s, steps, power_law(luck()), scale));
      runs.push_back(make_run("gain", s, steps, power_law(1.6 * luck()), scale));
      if (s < 3) runs.push_back(make_run("short, \"so\" | <b>_&", s, steps, power_law(0.6 * luck()), scale));
      runs.push_back(make_run("baseline (A/A)", 100 + s, steps, power_law(luck()), scale));
      runs.back().variant_class = "baseline";
    }
  }
  runs.back().points = runs[runs.size() - 4].points;
  return analyse(std::move(runs), options);
}

Analysis sample(std::optional<CostAxis> cost = CostAxis::steps) {
  Options options = options_for();
  options.cost = cost;
  return sample(options);
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

void no_member_is_a_text_for_a_number(const json& value) {
  if (value.is_structured()) {
    for (const json& child : value) no_member_is_a_text_for_a_number(child);
  } else if (value.is_string()) {
    const std::string text = value.get<std::string>();
    CHECK(text != "nan");
    CHECK(text != "inf");
  }
}

}  // namespace

TEST_CASE("JSON keeps the contract: names, types, null for what is absent") {
  const Analysis analysis = sample();
  const std::string text = as_json(analysis);
  const json value = json::parse(text);  // NaN or infinity would not parse
  no_member_is_a_text_for_a_number(value);
  CHECK(value.at("baseline") == "baseline");
  CHECK(value.at("method") == "interpolate");
  CHECK(value.at("cost") == "steps");
  REQUIRE(value.at("rows").size() == 6);
  const std::vector<std::string> keys{"variant", "scale", "class", "target", "status", "ceg",
                                      "low",     "high",  "seeds", "bound",  "gap",    "auxiliary_ceg"};
  const auto ordered = nlohmann::ordered_json::parse(text);
  for (const auto& row : ordered.at("rows")) {
    std::vector<std::string> found;
    for (const auto& [key, member] : row.items()) found.push_back(key);
    CHECK(found == keys);
    CHECK(row.at("variant").is_string());
    CHECK(row.at("target").is_number());
    CHECK(row.at("seeds").is_number_integer());
    const bool reached = row.at("status") == "reached";
    CHECK((reached || row.at("status") == "not_reached"));
    for (const char* key : {"ceg", "low", "high"}) CHECK(row.at(key).is_number() == reached);
    for (const char* key : {"bound", "gap", "auxiliary_ceg"}) CHECK(row.at(key).is_number() == !reached);
  }
  REQUIRE(value.at("noise_floor").size() == 2);
  for (const json& floor : value.at("noise_floor")) {
    CHECK(floor.size() == 3);
    CHECK(floor.at("low") < floor.at("high"));
  }
  CHECK(value.at("warnings").size() ==
        static_cast<std::size_t>(std::count_if(analysis.warnings.begin(), analysis.warnings.end(),
                                               [&](const Warning& w) { return analysis.shows(w); })));
}

TEST_CASE("with all axes every row says which, and single axes print only themselves") {
  const json all = json::parse(as_json(sample(std::nullopt)));
  CHECK(all.at("cost") == "all");
  CHECK(all.at("rows").size() == 18);
  CHECK(all.at("rows")[17].at("cost") == "flops");
  CHECK(all.at("noise_floor")[0].at("cost") == "steps");
  const Analysis flops = sample(CostAxis::flops);
  CHECK(as_text(flops, {}).find("tokens") == std::string::npos);
  CHECK(as_text(sample(std::nullopt), {}).find("tokens") != std::string::npos);
}

TEST_CASE("one run a side: the numbers are null, not NaN") {
  const auto steps = even_steps(20, 10);
  const std::vector<Run> runs{make_run("baseline", 1, steps, power_law(1)), make_run("v", 1, steps, power_law(2))};
  for (const Method method : {Method::interpolate, Method::fit, Method::paper}) {
    Options options = options_for();
    options.method = method, options.cost = CostAxis::steps;
    const Analysis analysis = analyse(runs, options);
    const json value = json::parse(as_json(analysis));
    const json& row = value.at("rows").at(0);
    CHECK(row.at("ceg").is_number());
    CHECK(row.at("low").is_null());
    CHECK(row.at("class").is_null());
    CHECK(row.at("target").is_null() == (method == Method::fit));
    CHECK(value.at("noise_floor").at(0).at("low").is_null());
    for (const std::string& text :
         {as_text(analysis, {}), as_markdown(analysis), as_csv(analysis), as_latex(analysis)}) {
      CHECK(text.find("nan") == std::string::npos);
      CHECK(text.find("inf") == std::string::npos);
    }
  }
}

TEST_CASE("every output carries every warning, and the same input gives the same bytes") {
  const Analysis analysis = sample(), again = sample();
  REQUIRE_FALSE(texts_of(analysis, WarningKind::identical_curves).empty());
  REQUIRE_FALSE(texts_of(analysis, WarningKind::unpaired_seeds).empty());
  std::size_t shown = 0;
  for (const Warning& warning : analysis.warnings) shown += analysis.shows(warning);
  CHECK(count_of(as_text(analysis, {}), "\n  ! ") == shown);
  CHECK(count_of(as_markdown(analysis), "\n- ") == shown);
  CHECK(count_of(as_latex(analysis), "\\item ") == shown);
  CHECK(count_of(as_csv(analysis), "\nwarning,") == shown);
  CHECK(as_text(analysis, {}) == as_text(again, {}));
  CHECK(as_json(analysis) == as_json(again));
  CHECK(as_csv(analysis) == as_csv(again));
}

TEST_CASE("CSV reads back: one width, full precision, names with commas and quotes") {
  const Analysis analysis = sample();
  const std::string text = as_csv(analysis);
  CsvReader reader(text, "out.csv");
  CsvRow header, row;
  REQUIRE(reader.next(header));
  std::size_t rows = 0;
  while (reader.next(row)) {
    REQUIRE(row.cells.size() == header.cells.size());
    if (row.cells[0] != "row") continue;
    const Row& expected = row_of(analysis, row.cells[1], CostAxis::steps, row.cells[2]);
    CHECK(row.cells[7] == (expected.ceg ? row.cells[7] : ""));
    if (expected.ceg) CHECK(std::stod(row.cells[7]) == *expected.ceg);
    ++rows;
  }
  CHECK(rows == 6);
}

TEST_CASE("Markdown and LaTeX escape names, and every table row has its columns") {
  const Analysis analysis = sample();
  const std::string markdown = as_markdown(analysis), latex = as_latex(analysis);
  CHECK(markdown.find("short, \"so\" \\| \\<b>\\_&") != std::string::npos);
  CHECK(latex.find("short, \"so\" | $<$b$>$\\_\\&") != std::string::npos);
  CHECK(count_of(latex, "\\toprule") == count_of(latex, "\\bottomrule"));
  CHECK(count_of(latex, "\\begin{tabular}") == count_of(latex, "\\end{tabular}"));
  CHECK(latex.find(" % interval") == std::string::npos);
}

TEST_CASE("the text is aligned, draws bars where there is room, and has colour only when asked") {
  const Analysis analysis = sample();
  const std::string wide = as_text(analysis, {140, false}), narrow = as_text(analysis, {60, false});
  CHECK(wide.find("●") != std::string::npos);
  CHECK(wide.find("├") != std::string::npos);
  CHECK(narrow.find("●") == std::string::npos);
  CHECK(wide.find('\x1b') == std::string::npos);
  CHECK(as_text(analysis, {140, true}).find("\x1b[") != std::string::npos);
  CHECK(wide.find("noise floor") != std::string::npos);
  CHECK(wide.find("not reached") != std::string::npos);
  CHECK(wide.find(" \n") == std::string::npos);
}
