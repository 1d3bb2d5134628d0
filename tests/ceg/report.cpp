// The HTML report: well formed, harmless, complete, the same twice, and drawn where the numbers are.
#include "tools/ceg/output/report/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "kernels/base/file.h"
#include "tests/ceg/report_sample.h"
#include "tools/ceg/output/report/charts.h"
#include "tools/ceg/output/report/numbers.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::ceg::report;

namespace {

test::SampleOptions options_with_warnings() {
  test::SampleOptions options;
  options.evaluations = 20;
  options.warnings = {{WarningKind::gaps, std::nullopt, "rope: a curve with <gaps> & \"more\""},
                      {WarningKind::hardware, CostAxis::seconds, "seconds of two machines are compared"}};
  return options;
}

Analysis small_analysis() { return test::sample_analysis(test::sample_variants(), options_with_warnings()); }

/// One variant with a CEG of 2 and the A/A arm, one scale, one axis.
Analysis one_pair() {
  test::SampleOptions options;
  options.scales = {"nano"};
  options.costs = {CostAxis::steps};
  return test::sample_analysis({{"first", "", 2, 0, true, {}}}, options);
}

/// The first thing wrong with the nesting of tags, or "".
std::string nesting_error(const std::string& page) {
  static const std::set<std::string> kVoid{"meta", "br"};
  std::vector<std::string> open;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at)) {
    if (page.compare(at, 2, "<!") == 0) {
      at = page.find('>', at);
      continue;
    }
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return "unclosed tag at " + page.substr(at, 60);
    const std::string tag = page.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string::npos) return "tag within a tag: " + tag;
    const std::string name = tag.substr(tag[0] == '/' ? 1 : 0, tag.find_first_of(" /\n", 1) - (tag[0] == '/' ? 1 : 0));
    at = end;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != name) {
        return "</" + name + "> closes " + (open.empty() ? "nothing" : "<" + open.back() + ">");
      }
      open.pop_back();
    } else if (tag.back() != '/' && !kVoid.count(name)) {
      // Style and script hold no markup; their content is skipped.
      if (name == "style" || name == "script") at = page.find("</" + name + ">", at);
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> stays open";
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

bool has_word(const std::string& page, const std::string& word) {
  return std::regex_search(page, std::regex("(^|[^A-Za-z])" + word + "([^A-Za-z]|$)", std::regex::icase));
}

std::vector<double> marker_x(const std::string& drawing, const std::string& classes) {
  std::vector<double> found;
  const std::regex circle("<circle cx=\"([-0-9.]+)\" cy=\"[-0-9.]+\" r=\"[-0-9.]+\" class=\"" + classes + "\"");
  for (auto it = std::sregex_iterator(drawing.begin(), drawing.end(), circle); it != std::sregex_iterator(); ++it) {
    found.push_back(std::stod((*it)[1]));
  }
  return found;
}

}  // namespace

TEST_CASE("the nesting check finds what is wrong") {
  CHECK(nesting_error("<p>a<br>b</p>") == "");
  CHECK(nesting_error("<p><b>a</p></b>") != "");
  CHECK(nesting_error("<p>a") != "");
  CHECK(nesting_error("<p a=\"<b>\">x</p>") != "");
}

TEST_CASE("the page is well formed, whatever the analysis holds") {
  CHECK(nesting_error(report_page(small_analysis())) == "");

  test::SampleOptions one = options_with_warnings();
  one.scales = {"default"};
  one.seeds = 1;
  one.intervals = false;
  one.costs = {CostAxis::steps};
  CHECK(nesting_error(report_page(test::sample_analysis(test::sample_variants(), one))) == "");

  Analysis nothing;
  nothing.options.baseline = "baseline";
  nothing.costs = {CostAxis::steps};
  CHECK(nesting_error(report_page(nothing)) == "");
}

TEST_CASE("ids are unique") {
  const std::string page = report_page(small_analysis());
  std::set<std::string> seen;
  const std::regex id(" id=\"([^\"]*)\"");
  for (auto it = std::sregex_iterator(page.begin(), page.end(), id); it != std::sregex_iterator(); ++it) {
    CHECK_MESSAGE(seen.insert((*it)[1]).second, "twice: " << (*it)[1].str());
  }
  CHECK(seen.size() > 50);
}

TEST_CASE("hostile names are text and nothing else") {
  Analysis analysis = small_analysis();
  analysis.runs[0].manifest = "{\"note\": \"</pre><script>alert(1)</script>\"}";
  analysis.runs[0].source = "runs/\"><img src=x onerror=alert(1)>";
  analysis.runs[0].hardware = "bytes \xff\xc3( and \x01";
  const std::string page = report_page(analysis);
  CHECK(count_of(page, "<script>") == 1);
  CHECK(count_of(page, "<img") == 0);
  CHECK(page.find("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") != std::string::npos);
  CHECK(page.find('\xff') == std::string::npos);
  CHECK(page.find('\x01') == std::string::npos);
  CHECK(nesting_error(page) == "");
}

TEST_CASE("nothing is loaded from elsewhere") {
  const std::string page = report_page(small_analysis());
  CHECK(page.find(" src=") == std::string::npos);
  CHECK(page.find("@import") == std::string::npos);
  CHECK(page.find("url(") == std::string::npos);
  CHECK(page.find("<link") == std::string::npos);
  CHECK(page.find("fetch(") == std::string::npos);
  // Links to cited papers are the only addresses.
  CHECK(count_of(page, "http") == count_of(page, "<a href=\"https://arxiv.org/abs/"));
}

TEST_CASE("every warning, variant, scale, run and published value is there") {
  const Analysis analysis = small_analysis();
  const std::string page = report_page(analysis);
  CHECK(page.find("rope: a curve with &lt;gaps&gt; &amp; &quot;more&quot;") != std::string::npos);
  CHECK(page.find("seconds of two machines are compared") != std::string::npos);
  for (const std::string& variant : analysis.variants) CHECK(page.find(escape(variant)) != std::string::npos);
  for (const std::string& scale : analysis.scales) CHECK(page.find("Scale " + scale) != std::string::npos);
  for (const Run& run : analysis.runs) CHECK(page.find(run.source.string()) != std::string::npos);
  CHECK(count_of(page, "<details class=\"run\">") == analysis.runs.size());
  CHECK(page.find("not reached") != std::string::npos);
  CHECK(page.find("3.483") != std::string::npos);  // "all", compact, as published
  CHECK(page.find("edited by its authors") != std::string::npos);
  // Without the script all axes stand on the page: nothing but the switch starts hidden.
  CHECK(count_of(page, " hidden>") == 1);
  for (const CostAxis cost : analysis.costs) {
    CHECK(count_of(page, "data-cost=\"" + std::string(cost_name(cost)) + "\"") >= 6);
  }
}

TEST_CASE("a page without intervals says so, one without warnings has no box") {
  test::SampleOptions options;
  options.seeds = 1;
  options.intervals = false;
  const std::string page = report_page(test::sample_analysis(test::sample_variants(), options));
  CHECK(page.find("nothing here can be told from noise") != std::string::npos);
  CHECK(page.find("class=\"warnings\"") == std::string::npos);
}

TEST_CASE("the forest's key speaks of whiskers only where the method has intervals") {
  Analysis analysis = test::sample_analysis(test::sample_variants(), test::SampleOptions{});
  CHECK(report_page(analysis).find("Filled marker and whiskers: this measurement and its 95 % interval") !=
        std::string::npos);
  analysis.options.method = Method::paper;
  const std::string page = report_page(analysis);
  CHECK(page.find("Filled marker: this measurement.") != std::string::npos);
  CHECK(page.find("Filled marker and whiskers") == std::string::npos);
}

TEST_CASE("the paper's method, which counts evaluations, has no crossings on the axes and no word of intervals") {
  Analysis analysis = one_pair();
  const std::string with = crossing_panel(View(analysis), CostAxis::steps, "nano", "first");
  CHECK(with.find("class=\"mark") != std::string::npos);
  analysis.options.method = Method::paper;
  const std::string without = crossing_panel(View(analysis), CostAxis::steps, "nano", "first");
  CHECK(without.find("class=\"line") != std::string::npos);
  CHECK(without.find("class=\"mark") == std::string::npos);
  CHECK(without.find("class=\"gain") == std::string::npos);
  const std::string page = report_page(analysis);
  CHECK(page.find("and whiskers") == std::string::npos);
  CHECK(page.find("a single seed cannot tell it") == std::string::npos);
}

TEST_CASE("no nan and no inf, even when numbers are") {
  Analysis analysis = small_analysis();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(!has_word(report_page(analysis), "nan"));
  analysis.rows[0].ceg = nan;
  analysis.rows[1].interval = Interval{0, infinity};
  analysis.rows[2].per_seed[0].variant_cost = nan;
  analysis.rows[3].per_seed.clear();
  analysis.thresholds[0].points[3].ceg = infinity;
  analysis.scale_fits[0].slope = nan;
  analysis.curves[0].loss[2] = nan;
  analysis.noise_floor[0].interval = Interval{-infinity, infinity};
  const std::string page = report_page(analysis);
  for (const std::string word : {"nan", "inf", "infinity"}) {
    CHECK_MESSAGE(!has_word(page, word), "the page holds the word " << word);
  }
  CHECK(nesting_error(page) == "");
}

TEST_CASE("equal input, equal bytes, and the file is the page") {
  const Analysis analysis = small_analysis();
  const std::string page = report_page(analysis);
  CHECK(page == report_page(small_analysis()));
  const auto folder = std::filesystem::temp_directory_path() / "isoloss_test_report" / "deep";
  std::filesystem::remove_all(folder.parent_path());
  write_report(analysis, folder);
  CHECK(read_file(folder / "index.html") == page);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files += entry.exists() ? 1 : 0;
  CHECK(files == 1);
  std::filesystem::remove_all(folder.parent_path());
}

TEST_CASE("a scale maps its ends to its ends and ratios to distances") {
  const Scale logarithmic(Scale::Kind::logarithmic, 1, 100, 50, 250);
  CHECK(logarithmic(1) == doctest::Approx(50));
  CHECK(logarithmic(10) == doctest::Approx(150));
  CHECK(logarithmic(100) == doctest::Approx(250));
  CHECK(logarithmic.clamped(1e6) == doctest::Approx(250));
  const Scale turned(Scale::Kind::linear, 2, 4, 100, 0);
  CHECK(turned(2.5) == doctest::Approx(75));
  // A single value still makes an axis.
  const Scale single(Scale::Kind::linear, 3, 3, 0, 100);
  CHECK(single(3) == doctest::Approx(50));
  CHECK(single.low() < 3);
}

TEST_CASE("ticks are round, inside, in order and apart") {
  CHECK(Scale(Scale::Kind::logarithmic, 0.8, 120, 0, 300).ticks(30) == std::vector<double>{1, 2, 5, 10, 20, 50, 100});
  CHECK(Scale(Scale::Kind::linear, 0, 1, 0, 100).ticks(19) ==
        std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1});
  for (const double low : {1e-3, 0.31, 0.97, 7.0, 4e5}) {
    for (const double ratio : {1.02, 1.3, 2.0, 9.0, 40.0, 1e4, 1e12}) {
      const Scale scale(Scale::Kind::logarithmic, low, low * ratio, 0, 300);
      const auto ticks = scale.ticks(35);
      CHECK(ticks.size() >= 2);
      for (std::size_t i = 0; i < ticks.size(); ++i) {
        CHECK(ticks[i] >= low * (1 - 1e-6));
        CHECK(ticks[i] <= low * ratio * (1 + 1e-6));
        if (i > 0 && ticks.size() > 2) CHECK(scale(ticks[i]) - scale(ticks[i - 1]) >= 35);
      }
    }
  }
}

TEST_CASE("charts put a mark where its number is") {
  Analysis analysis = one_pair();
  const View view(analysis);
  const std::string forest = forest_chart(view, CostAxis::steps, Frame::wide);
  const std::regex reference("<line x1=\"([0-9.]+)\"[^>]*class=\"reference\"");
  std::smatch match;
  REQUIRE(std::regex_search(forest, match, reference));
  const double one = std::stod(match[1]);
  const auto first = marker_x(forest, "mark c0");
  REQUIRE(first.size() == 1);

  analysis.rows[0].ceg = 4;
  analysis.rows[0].interval = Interval{3.9, 4.1};
  analysis.rows[1].ceg = 2;  // the A/A arm keeps a second mark on the axis
  const std::string moved = forest_chart(View(analysis), CostAxis::steps, Frame::wide);
  REQUIRE(std::regex_search(moved, match, reference));
  const double moved_one = std::stod(match[1]);
  const auto four = marker_x(moved, "mark c0");
  REQUIRE(four.size() == 1);
  CHECK(first[0] > one);
  const std::regex whisker(
      "<line x1=\"([0-9.]+)\" y1=\"[0-9.]+\" x2=\"([0-9.]+)\" y2=\"[0-9.]+\" class=\"whisker c0\"");
  REQUIRE(std::regex_search(moved, match, whisker));
  // ln(4.1 / 3.9) / ln 4 of the way from 1 to 4; coordinates are rounded to a tenth, so two of them differ by up to
  // 0.1.
  const double expected = std::log(4.1 / 3.9) / std::log(4.0) * (four[0] - moved_one);
  CHECK(std::abs(std::stod(match[2]) - std::stod(match[1]) - expected) <= 0.11);
}

TEST_CASE("the crossing panel's arrow is as long as ln CEG") {
  const Analysis analysis = one_pair();
  const View view(analysis);
  const Row* row = view.row(CostAxis::steps, "nano", "first");
  REQUIRE(row != nullptr);
  const std::string panel = crossing_panel(view, CostAxis::steps, "nano", "first");
  const auto baseline = marker_x(panel, "mark base");
  const auto variant = marker_x(panel, "mark c0");
  REQUIRE(baseline.size() == row->per_seed.size());
  REQUIRE(variant.size() == row->per_seed.size());
  const Window window = view.window(CostAxis::steps, "nano", Zoom::close);
  // The frame of the panel is 252 wide and ends four hundredths beyond the last cost.
  const double per_unit = 252 / std::log(window.cost_high * 1.04 / window.cost_low);
  for (std::size_t i = 0; i < variant.size(); ++i) {
    CHECK(std::abs(baseline[i] - variant[i] - per_unit * std::log(row->per_seed[i].ceg)) <= 0.11);
  }
}

TEST_CASE("numbers read as people write them") {
  CHECK(ratio_text(1.8372) == "1.837");
  CHECK(ratio_text(0.0521) == "0.0521");
  CHECK(ratio_text(12.34) == "12.34");
  CHECK(ratio_text(1234.6) == "1,235");
  CHECK(ratio_text(std::nullopt) == "–");
  CHECK(ratio_text(std::numeric_limits<double>::quiet_NaN()) == "–");
  CHECK(interval_text(1.5, std::numeric_limits<double>::infinity()) == "–");
  CHECK(signed_text(-0.0301, 3) == "−0.030");
  CHECK(signed_text(0.2, 1) == "+0.2");
  CHECK(signed_text(-1e-9, 2) == "0.00");
  CHECK(quantity_text(123456) == "123,456");
  CHECK(quantity_text(1.234e15) == "1.23×10¹⁵");
  CHECK(quantity_text(2e-7) == "2.00×10⁻⁷");
  CHECK(plain_text(0.5) == "0.5");
  CHECK(plain_text(20000) == "20,000");
  CHECK(shortened("größer", 4) == "grö…");
  CHECK(shortened("abcd", 4) == "abcd");
  CHECK(escape("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
  CHECK(escape("\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|é").find("\xc0") == std::string::npos);
  CHECK(axis_unit(CostAxis::flops, 3e15).label == "PFLOP");
  CHECK(axis_unit(CostAxis::seconds, 5400).divisor == 60);
}

TEST_CASE("the noise floor decides what counts as found") {
  Analysis analysis = one_pair();
  analysis.noise_floor[0].interval = Interval{0.9, 1.1};
  const View view(analysis);
  Row& row = analysis.rows[0];
  row.interval = Interval{1.2, 1.3};
  CHECK(view.standing(row) == Standing::above);
  row.interval = Interval{1.05, 1.3};  // clear of 1, not of the floor
  CHECK(view.standing(row) == Standing::within);
  row.interval = Interval{0.5, 0.8};
  CHECK(view.standing(row) == Standing::below);
  row.interval = std::nullopt;
  CHECK(view.standing(row) == Standing::unknown);
  row.interval = Interval{0.5, 0.8};
  analysis.noise_floor[0].interval = std::nullopt;
  CHECK(view.standing(row) == Standing::unknown);
}
