#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "kernels/base/error.h"
#include "tests/tools/sweep_fixture.h"
#include "tools/sweep/listing.h"
#include "tools/sweep/plan.h"
#include "tools/sweep/run_folder.h"
#include "tools/sweep/suite.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

Suite suite_of(const SweepFolder& folder, const std::string& text) {
  return read_suite(folder.write("suite.toml", text));
}

/// The message of the input error that reading and planning this suite gives; "" when it gives none.
std::string error_of(const SweepFolder& folder, const std::string& text) {
  try {
    make_plan(suite_of(folder, text), {}, folder / "out");
  } catch (const Error& error) {
    CHECK(error.exit_code() == 2);
    return error.what();
  }
  return "";
}

/// A further variant that combines one other.
std::string combining(const std::string& name, const std::string& part) {
  return "[[variant]]\nname = \"" + name + "\"\nclass = \"systems\"\nset = [\"model.layers=2\"]\nparts = [\"" + part +
         "\"]\n";
}

const PlannedRun& run_of(const Plan& plan, std::size_t cell) { return plan.cells[cell].runs[0][0]; }

}  // namespace

TEST_CASE("a suite without an A/A arm gets one with seeds of its own") {
  const SweepFolder folder;
  const Suite suite = suite_of(folder, with(small_suite(), "seeds = [1, 2]", "seeds = [1, 1001]"));
  REQUIRE(suite.variants.size() == 3);
  CHECK(suite.variants[2].name == "baseline (A/A)");
  CHECK(suite.variants[2].variant_class == "baseline");
  CHECK(suite.variants[0].seeds == std::vector<std::int64_t>{1, 1001});
  // 1000 on would meet 1001, so the next multiple.
  CHECK(suite.variants[2].seeds == std::vector<std::int64_t>{2001, 3001});
}

TEST_CASE("no A/A arm has a seed of the baseline or of another arm") {
  const SweepFolder folder;
  const std::string arms =
      "[[variant]]\nname = \"a\"\nclass = \"baseline\"\n[[variant]]\nname = \"b\"\nclass = \"baseline\"\n";
  const Suite suite = suite_of(folder, with(small_suite(), "seeds = [1, 2]", "seeds = [1, 2001]") + arms);
  REQUIRE(suite.variants.size() == 4);
  // 1000 is free for the first arm, but would lead the second to 2001.
  CHECK(suite.variants[2].seeds == std::vector<std::int64_t>{3001, 5001});
  CHECK(suite.variants[3].seeds == std::vector<std::int64_t>{6001, 8001});
}

TEST_CASE("a suite's own A/A arm is kept, and has other seeds than the baseline") {
  const SweepFolder folder;
  const Suite suite = suite_of(folder, small_suite() + "[[variant]]\nname = \"again\"\nclass = \"baseline\"\n");
  REQUIRE(suite.variants.size() == 3);
  CHECK(suite.variants[2].name == "again");
  CHECK(suite.variants[2].seeds == std::vector<std::int64_t>{1001, 1002});
  const Plan plan = make_plan(suite, {}, folder / "out");
  CHECK(run_of(plan, 2).configuration.model.norm == Norm::none);  // built like the baseline
}

TEST_CASE("settings take effect in the order: suite, baseline, scale, variant, command line") {
  const SweepFolder folder;
  const Plan plan = make_plan(suite_of(folder, small_suite()), {{"run.steps=7", "--set", {}}}, folder / "out");
  REQUIRE(plan.cells.size() == 6);
  const PlannedRun& baseline = run_of(plan, 0);
  CHECK(baseline.folder == "small/baseline/seed1");
  CHECK(baseline.configuration.model.norm == Norm::none);
  CHECK(baseline.configuration.model.width == 64);
  CHECK(baseline.configuration.run.run.steps == 7);
  const PlannedRun& variant = run_of(plan, 4);
  CHECK(variant.folder == "large/layernorm/seed1");
  CHECK(variant.configuration.model.norm == Norm::layernorm);
  CHECK(variant.configuration.model.attention == Attention::naive);
  CHECK(variant.configuration.model.width == 128);
  CHECK(plan.cells[4].runs[0][1].configuration.run.run.seed == 2);
  CHECK(run_of(plan, 5).configuration.run.run.seed == 1001);

  // One key, set in all five places.
  const auto layers = [](int count) { return "model.layers=" + std::to_string(count); };
  std::string all = with(small_suite(), "vocab = 256", "vocab = 256\nlayers = 1");
  const auto expect = [&](int baseline_layers, int variant_layers, const std::vector<Override>& overrides = {}) {
    const Plan planned = make_plan(suite_of(folder, all), overrides, folder / "out");
    CHECK(run_of(planned, 0).configuration.model.layers == baseline_layers);
    CHECK(run_of(planned, 1).configuration.model.layers == variant_layers);
  };
  expect(1, 1);
  all = with(all, "\"model.norm=none\"", "\"model.norm=none\", \"" + layers(2) + "\"");
  expect(2, 2);
  all = with(all, "\"model.width=64\"", "\"model.width=64\", \"" + layers(3) + "\"");
  expect(3, 3);
  all = with(all, "\"model.norm=layernorm\"", "\"model.norm=layernorm\", \"" + layers(4) + "\"");
  expect(3, 4);
  expect(5, 5, {{layers(5), "--set", {}}});
}

TEST_CASE("a line of a record that is being written is no line yet") {
  const SweepFolder folder;
  folder.write("run/log.jsonl", "{\"step\":3}\n{\"step\":4}\n{\"st");
  CHECK(steps_done(folder / "run") == 4);
}

TEST_CASE("config.toml means what was planned, and holds no place") {
  const SweepFolder folder;
  folder.write("base/mine.toml", "extends = \"nano\"\n");
  std::string odd = with(small_suite(), "data/train.bin", "data/\\\"odd\\\" [name].bin");
  odd = with(odd, "\"nano\"", "\"base/mine.toml\"");
  const Plan plan = make_plan(suite_of(folder, odd), {{" run.log_every = 3 ", "--set", {}}}, folder / "out");
  for (const Cell& cell : plan.cells) {
    const PlannedRun& planned = cell.runs[0][1];
    const std::string text = config_text(plan.suite, planned, folder / "out");
    CHECK(text.find((folder / "").string()) == std::string::npos);
    const fs::path file = folder.write("out/" + planned.folder.string() + "/config.toml", text);
    const Configuration loaded = load_configuration(file.string());
    CHECK(to_json(loaded, folder / "x") == to_json(planned.configuration, folder / "x"));
  }
}

TEST_CASE("a plan that repeats runs, or whose A/A arm is something else, is told") {
  const SweepFolder folder;
  const auto said = [&](const std::string& text) {
    return surprises(make_plan(suite_of(folder, text), {}, folder / "out"));
  };
  CHECK(said(small_suite()).empty());
  CHECK(
      said(with(small_suite(), "\"model.norm=layernorm\"", "\"model.norm=none\"")) ==
      std::vector<std::string>{
          "variant `layernorm` at scale `small` has the configuration of variant `baseline` at scale `small`: its runs "
          "repeat those",
          "variant `layernorm` at scale `large` has the configuration of variant `baseline` at scale `large`: its runs "
          "repeat those"});
  CHECK(said(with(small_suite(), "model.width=128", "model.width=64")).size() == 2);  // both variants at both scales
  const std::string arm = "[[variant]]\nname = \"again\"\nclass = \"baseline\"\nset = [\"";
  CHECK(said(small_suite() + arm + "model.norm=none\"]\n").empty());
  CHECK(said(small_suite() + arm + "model.norm=layernorm\"]\n") ==
        std::vector<std::string>{"variant `again` at scale `small` is an A/A arm, but not the baseline once more: what "
                                 "it shows is more than noise",
                                 "variant `again` at scale `large` is an A/A arm, but not the baseline once more: what "
                                 "it shows is more than noise"});
}

TEST_CASE("a base configuration is found beside the suite") {
  const SweepFolder folder;
  folder.write("base/mine.toml", "extends = \"nano\"\nmodel.layers = 3\n");
  const Plan plan =
      make_plan(suite_of(folder, with(small_suite(), "\"nano\"", "\"base/mine.toml\"")), {}, folder / "out");
  CHECK(run_of(plan, 0).configuration.model.layers == 3);
}

TEST_CASE("names become folders") {
  CHECK(folder_name("baseline (A/A)") == "baseline-A-A");
  CHECK(folder_name("RoPE θ=1e6, 50 %") == "RoPE-=1e6-50");
  CHECK(folder_name("../..") == "..-..");
  CHECK(folder_name("日本") == "");
}

TEST_CASE("an --out too long for the file system is refused, the longest that fits is not") {
  const SweepFolder folder;
  const Suite suite = suite_of(folder, small_suite());
  const auto error = [&](const fs::path& out) {
    try {
      make_plan(suite, {}, out);
    } catch (const Error& problem) {
      return std::string(problem.what());
    }
    return std::string();
  };
  CHECK(error("/" + std::string(255, 'o')) == "");
  CHECK(error("/" + std::string(256, 'o')).starts_with("[--out] expected names of at most 255 bytes, got "));
  fs::path deep = "/";
  for (int i = 0; i < 39; ++i) deep /= std::string(100, 'd');  // 3,939 bytes
  CHECK(error(deep) == "");
  CHECK(error(deep / std::string(100, 'd')).starts_with("[--out] expected a path of at most "));
  // --out itself fits, the folders of the runs do not: the suite's names are told.
  CHECK(error(deep / std::string(20, 'd')).find(" expected a path of at most ") != std::string::npos);
}

TEST_CASE("words survive a shell") {
  CHECK(shell_word("plain-1.0/x") == "plain-1.0/x");
  CHECK(shell_word("baseline (A/A)") == "'baseline (A/A)'");
  CHECK(shell_word("it's") == "'it'\\''s'");
  CHECK(shell_word("") == "''");
}

TEST_CASE("bad suites are one-line errors that say where") {
  const SweepFolder folder;
  const std::string file = (folder / "suite.toml").string();
  struct Case {
    std::string text;
    std::vector<std::string> said;
  };
  const std::string& s = small_suite();
  const Case cases[] = {
      {"seeds = [1", {"suite.toml:1", "TOML"}},
      {with(s, "seeds", "sedes"), {"suite.toml:2: sedes", "unknown key"}},
      {with(s, "seeds = [1, 2]", ""), {"seeds", "at least one seed"}},
      {with(s, "seeds = [1, 2]", "seeds = [1, -2]"), {"suite.toml:2: seeds", "-2"}},
      {with(s, "seeds = [1, 2]", "seeds = [1, 1]"), {"seeds", "1 twice"}},
      {with(s, "seeds = [1, 2]", "seeds = [1.5]"), {"seeds", "whole numbers", "1.5"}},
      {with(s, "seeds = [1, 2]", "seeds = 1"), {"seeds", "an array", "integer"}},
      {"learning_rates = [0.0]\n" + s, {"learning_rates", "positive"}},
      {"learning_rates = [nan]\n" + s, {"learning_rates", "positive"}},
      {"learning_rates = [1e-3, 2e-3]\n" + with(s, "model.width=64", "optimizer.learning_rate=1e-3"),
       {"variant baseline, scale small, optimizer.learning_rate", "both"}},
      {with(s, "model.width=64", "run.seed=3"), {"run.seed", "seeds"}},
      {with(s, "extends = \"nano\"", ""), {"extends", "a string", "nothing"}},
      {with(s, "extends = \"nano\"", "extends = \"nono\""), {"nono"}},
      {with(s, "name = \"large\"", "name = \"small\""), {"scale small", "twice"}},
      {with(s, "name = \"large\"", "name = \"small!\""), {"scale small!", "folder `small`"}},
      {with(s, "name = \"large\"", "name = \"..\""), {"scale ..", "a name that can be a folder"}},
      {with(s, "name = \"large\"", "name = \".large\""), {"scale .large", "a name that can be a folder"}},
      {with(s, "name = \"large\"", "name = \"tuning\""), {"scale tuning", "a name that can be a folder"}},
      {with(s, "name = \"large\"", "name = \"sweep.json\""), {"scale sweep.json", "a name that can be a folder"}},
      {with(s, "name = \"large\"", "name = \"a\\nb\""), {"without control characters"}},
      {with(s, "name = \"large\"", "name = \"a\\u202eb\""), {"without control characters"}},
      {with(s, "name = \"large\"", "name = \"日本\""), {"a name that holds a letter or digit of ASCII", "日本"}},
      {with(s, "name = \"layernorm\"", "name = \"" + std::string(201, 'x') + "\""),
       {"at most 200 bytes", "got 201"}},  // ceg takes no longer ones
      {with(s, "name = \"large\"", "name = \"" + std::string(256, 'x') + "\""), {"at most 200 bytes", "got 256"}},
      {with(s, "name = \"large\"", "name = 3"), {"scale.name", "a string", "integer"}},
      {with(s, "name = \"large\"", "nmae = \"large\""), {"scale.nmae", "unknown key"}},
      {with(s, "class = \"baseline\"", "class = \"systems\""), {"class `baseline`", "none"}},
      {with(s, "compute-independent", "independent"), {"variant.class", "compute-dependent", "independent"}},
      {s + "parts = [\"rope\"]\n", {"variant layernorm, parts", "rope"}},
      {s + "parts = [\"baseline\"]\n", {"variant layernorm, parts", "baseline"}},
      {with(s, "class = \"baseline\"", "class = \"baseline\"\nparts = [\"layernorm\"]"),
       {"variant baseline, parts", "combines nothing", "layernorm"}},
      {s + "parts = [\"c\"]\n" + combining("c", "d") + combining("d", "layernorm"),
       {"variant layernorm, parts", "do not combine this one again", "got c"}},
      {with(s, "\"model.norm=layernorm\"", "\"model.norm=layernorm\", \" model.norm =rmsnorm\""),
       {"variant.set", "each key once", "model.norm twice"}},
      {with(s, "model.norm=layernorm", "model.nrm=layernorm"), {"suite.toml", "variant layernorm", "model.nrm"}},
      {with(s, "model.norm=layernorm", "model.norm=layer"), {"suite.toml", "variant layernorm", "model.norm"}},
      {with(s, "model.norm=layernorm", "model.rope_theta=5"), {"suite.toml", "variant layernorm", "rope_theta"}},
      {with(s, "model.width=64", "model.width=65"), {"suite.toml", "scale small", "model."}},
      {with(s, "vocab = 256", "vocba = 256"), {"suite.toml", "vocba"}},
      {"extends = \"nano\"\nseeds = [1]\n", {"scale", "at least one [[scale]]"}},
      {"extends = \"nano\"\nseeds = [1]\n[[scale]]\nname = \"a\"\n", {"variant", "at least one [[variant]]"}},
  };
  CHECK(error_of(folder, s) == "");
  CHECK(error_of(folder, s + combining("c", "d") + combining("d", "layernorm") + combining("e", "c")) == "");
  for (const Case& c : cases) {
    const std::string error = error_of(folder, c.text);
    CAPTURE(error);
    CHECK(error.find('\n') == std::string::npos);
    CHECK(error.find(", got ") != std::string::npos);
    for (const std::string& part : c.said) {
      CAPTURE(part);
      CHECK(error.find(part) != std::string::npos);
    }
  }
}

}  // namespace isoloss
