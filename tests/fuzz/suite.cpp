// A suite with one change is refused, or every run of its plan is the one that its own file describes.
#include "tools/sweep/suite.h"

#include <set>

#include "tests/fuzz/configuration.h"
#include "tools/sweep/plan.h"

namespace {
using namespace isoloss;
using fuzz::Choices;

std::string array_of(std::string_view key, std::vector<std::string> values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ", ") + value;
  return std::string(key) + " = [" + text + "]\n";
}

std::string valid_suite(Choices& choices) {
  std::string text = "extends = \"nano\"\n" + array_of("seeds", choices.flag() ? std::vector<std::string>{"1", "2"}
                                                                               : std::vector<std::string>{"7"});
  if (choices.flag()) text += choices.flag() ? "learning_rates = [1e-3]\n" : "learning_rates = [1e-3, 0.002]\n";
  if (choices.flag()) text += array_of("set", {R"("run.log_every=3")", R"("data.val=../v/*.bin")"});
  if (choices.flag()) text += "[data]\ntrain = [\"a.bin\", \"b/c.bin\"]\nval = \"val.bin\"\n";
  text += "[run]\nsteps = 20\neval_every = 5\n";
  for (std::size_t i = 0, scales = 1 + choices.below(2); i < scales; ++i) {
    text += "[[scale]]\nname = \"s" + std::to_string(i) + "\"\n";
    text += array_of("set", {"\"model.width=" + std::to_string(32 << i) + "\"", "\"model.heads=2\""});
  }
  text += "[[variant]]\nname = \"baseline\"\nclass = \"baseline\"\n" +
          array_of("set", {R"("model.norm=none")", R"("model.final_norm=layernorm")"});
  text += "[[variant]]\nname = \"norm\"\nclass = \"compute-independent\"\nset = [\"model.norm=layernorm\"]\n";
  text += "[[variant]]\nname = \"rope θ\"\nclass = \"systems\"\n" +
          array_of("set", {R"("model.positions=rope")", R"("model.rope_theta = 5e2")"});
  if (choices.flag()) {
    text += "[[variant]]\nname = \"all\"\nclass = \"compute-dependent\"\n" +
            array_of("set", {R"("model.norm=layernorm")", R"("model.positions=rope")"}) +
            array_of("parts", {R"("norm")", R"("rope θ")"});
  }
  if (choices.flag()) text += "[[variant]]\nname = \"again\"\nclass = \"baseline\"\n";
  return text;
}

/// What `train` would read is what was planned.
void expect_planned(const Suite& suite, const PlannedRun& run, const std::filesystem::path& sweep,
                    const std::filesystem::path& out) {
  const auto file = out / "config.toml";
  const std::string text = config_text(suite, run, sweep);
  fuzz::put_file(file, text);
  fuzz::require(to_json(load_configuration(file.string()), out) == to_json(run.configuration, out),
                "the file of a run says something else than its plan: " + text);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Choices choices(data, size);
  const fuzz::Document document(valid_suite(choices), choices);
  const auto folder = fuzz::scratch_folder(), out = folder / "s0/baseline/seed1";
  std::filesystem::create_directories(out);
  fuzz::put_file(folder / "suite.toml", document.text);
  fuzz::accepted(document.valid, [&] {
    const Plan plan = make_plan(read_suite(folder / "suite.toml"), {}, folder);
    std::set<std::filesystem::path> folders;
    const PlannedRun* last = nullptr;
    for (const Cell& cell : plan.cells) {
      for (const auto& row : cell.runs) {
        for (const PlannedRun& run : row) last = &run;
        for (const PlannedRun& run : plan.suite.tunes() ? cell.candidates : row) {
          fuzz::require(folders.insert(run.folder).second || plan.suite.tunes(), "two runs in one folder");
        }
      }
    }
    fuzz::require(last != nullptr && work_of(last->configuration) > 0, "a plan without runs or work");
    if (choices.rarely(4)) expect_planned(plan.suite, *last, folder, out);
  });
  return 0;
}
