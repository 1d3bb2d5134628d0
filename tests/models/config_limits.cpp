// Configurations that nobody means: files of absurd size and depth, sizes beyond reason, schedules that never arrive.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "models/config.h"
#include "models/config_check.h"
#include "models/toml.h"
#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::error_of;
using isoloss::test::put_file;
using isoloss::test::TemporaryFolder;

namespace {

std::string parse(const std::string& text) {
  return error_of([&] { parse_toml(text, "c.toml"); });
}

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

RunConfig run_of(const std::vector<std::string>& sets) {
  std::vector<Override> overrides{{"run.steps=100"}, {"schedule.warmup_steps=10"}};
  for (const std::string& text : sets) overrides.push_back({text});
  return load_configuration("nano", overrides).run;
}

}  // namespace

TEST_CASE("keys of many parts are refused before the parser sees them, in whatever they stand") {
  constexpr int many = 200'000;
  const std::string deep = "a" + repeated(".a", many);
  const std::string complaint = "expected keys of a few parts, got one with more than 16 dots";
  CHECK(parse(deep + " = 1") == "2 [c.toml:1] " + complaint);
  CHECK(parse("x = 1\n\n[" + deep + "]") == "2 [c.toml:3] " + complaint);
  CHECK(parse("[[" + deep + "]]") == "2 [c.toml:1] " + complaint);
  CHECK(parse("x = {y = 1, " + deep + " = 1}") == "2 [c.toml:1] " + complaint);
  CHECK(parse("a" + repeated(" . \"b'#\"", many) + " = 1") == "2 [c.toml:1] " + complaint);
  CHECK(parse("x = '''\n\n'''\ny = \"\\\"\"\n" + deep) == "2 [c.toml:5] " + complaint);
  CHECK(parse("a" + repeated(".a", 17) + " = 1") == "2 [c.toml:1] " + complaint);
  CHECK(parse("a" + repeated(".a", 16) + " = 1").empty());
}

TEST_CASE("dots that make no key do not count") {
  const std::string dots = repeated("a.", 100);
  for (const std::string& text :
       {"# " + dots, "x = 1 # " + dots, "x = '" + dots + "'", "x = \"\\\"" + dots + "\"", "x = '''\n" + dots + "'\n'''",
        "x = \"\"\"\\\"\"\"" + dots + "\"\"\"", "x = [" + repeated("1.5, ", 100) + "2.5]",
        "x = [\n" + repeated("{a.b = 1.5},\n", 50) + "]", repeated("[[a.b]]\nc.d = 0.5\n", 50)}) {
    CAPTURE(text);
    CHECK(parse(text).empty());
  }
}

TEST_CASE("values inside each other, long keys, numbers and lines: one line of error") {
  for (const std::string& text :
       {"x = " + repeated("[", 100'000), "x = " + repeated("{a = ", 100'000), repeated("x", 500'000),
        "x = " + repeated("1", 500'000), "\"" + repeated("x", 500'000), "x = \"" + repeated("\\u00e4", 100'000)}) {
    const std::string error = parse(text);
    CHECK(error.starts_with("2 [c.toml:1:"));
    CHECK(error.size() < 1500);
  }
  CHECK(parse("x = " + repeated("[", 20) + repeated("]", 20)).empty());
}

TEST_CASE("a configuration is a regular file of at most 1 MiB") {
  const TemporaryFolder folder;
  const auto load = [](const std::string& path) { return error_of([&] { load_configuration(path); }); };
  const std::string pipe = (folder / "pipe.toml").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(load(pipe) == "2 [" + pipe + "] expected a file, got a pipe");  // and nobody waits for a writer
  CHECK(load("/dev/zero") == "2 [/dev/zero] expected a file, got a device");
  CHECK(load("/dev/null") == "2 [/dev/null] expected a file, got a device");
  CHECK(load(folder.path().string()) == "2 [" + folder.path().string() + "] expected a file, got a folder");
  const std::string large = (folder / "large.toml").string();
  put_file(large, "extends = 'nano'\n#" + std::string(1 << 20, ' '));
  CHECK(load(large) == "2 [" + large + "] expected at most 1048576 bytes, got more");
  put_file(large, "extends = 'nano'\n#" + std::string(1 << 19, ' '));
  CHECK(load(large).empty());
}

TEST_CASE("sizes have an end") {
  const auto error = [](const char* text) { return error_of([&] { load_configuration("nano", {{text}}); }); };
  CHECK(error("model.layers=65536") == "2 [--set model.layers=65536] expected an integer from 1 to 10000, got 65536");
  CHECK(error("model.layers=10000").empty());
  for (const char* text : {"model.heads=65537", "model.width=16777217", "model.context=16777217",
                           "model.vocab=2147483648", "run.batch_tokens=2147483648", "run.steps=2147483648"}) {
    CHECK(error(text).starts_with("2 ["));
  }
}

TEST_CASE("schedules that never arrive are said, usual ones are not") {
  CHECK(surprises(run_of({})).empty());
  for (const char* preset : {"nano", "micro", "paper-compact", "paper-full", "gpt2-124m", "gpt2-1558m"}) {
    CHECK(surprises(load_configuration(preset).run).empty());
  }
  const auto only = [](const std::vector<std::string>& sets) {
    const std::vector<std::string> lines = surprises(run_of(sets));
    return lines.size() == 1 ? lines.front() : std::string("none");
  };
  const std::string late = "schedule.warmup_steps (100) is not below run.steps (100): the learning rate never gets to ";
  CHECK(only({"schedule.warmup_steps=100"}).starts_with(late));
  CHECK(only({"schedule.warmup_steps=100", "schedule.kind=constant"}).starts_with(late));
  CHECK(only({"schedule.warmup_steps=99"}) == "none");
  CHECK(
      only({"schedule.decay_steps=200"}) ==
      "schedule.decay_steps (200) is beyond run.steps (100): the learning rate ends at 0.59 of its full value, not at "
      "schedule.final_fraction (0.1)");
  CHECK(only({"schedule.decay_steps=100"}) == "none");
  CHECK(only({"schedule.decay_steps=10"})
            .starts_with(
                "schedule.decay_steps (10), which counts from step 0, is not beyond schedule.warmup_steps (10)"));
  CHECK(only({"schedule.decay_steps=11"}) == "none");
  CHECK(only({"schedule.kind=wsd", "schedule.decay_steps=10"}) == "none");
  CHECK(only({"schedule.warmup_steps=0", "schedule.decay_steps=1"}) == "none");
}

TEST_CASE("more tokens than there are is said") {
  RunConfig config;
  config.run.eval_tokens = 650, config.run.batch_tokens = 1000;
  CHECK(surprises(config, 64, 1000, 640).empty());  // 640: the whole windows of 64 in 650
  CHECK(surprises(config, 64, 1000, 576) ==
        std::vector<std::string>{"run.eval_tokens (650) is beyond the validation data: 576 tokens are evaluated"});
  CHECK(surprises(config, 64, 999, 640) ==
        std::vector<std::string>{
            "run.batch_tokens (1000) is more than the training data hold (999): every step sees them several times"});
  config.run.eval_tokens = 0;
  CHECK(surprises(config, 64, 1000, 64).empty());
}
