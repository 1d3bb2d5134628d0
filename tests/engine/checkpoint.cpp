#include "engine/checkpoint.h"

#include <doctest/doctest.h>

#include <cstring>
#include <set>

#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::error_of;
using isoloss::test::put_file;
using isoloss::test::TemporaryFolder;

namespace fs = std::filesystem;

namespace {

TrainingState state_at(std::int64_t step) {
  TrainingState state;
  state.step = step;
  state.tokens = step * 768;
  state.flops = static_cast<double>(step) * 1e12 / 3;
  state.seconds = 0.1 * static_cast<double>(step);
  state.seed = 18446744073709551615u;
  return state;
}

struct Values {
  explicit Values(float first) : weights{first, 2, 3, 4} {}
  std::vector<float> weights;
  std::vector<float> moments = std::vector<float>(8, 0.5f);
  std::vector<NamedTensor> model() const { return {{"w", DType::f32, {2, 2}, weights.data()}}; }
  std::vector<NamedTensor> optimizer() const { return {{"m.w", DType::f32, {8}, moments.data()}}; }
};

void save(const fs::path& run, std::int64_t step, std::int64_t keep = 2) {
  const Values values(static_cast<float>(step));
  save_checkpoint(run, state_at(step), values.model(), values.optimizer(), keep);
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

struct Latest {
  std::optional<Checkpoint> checkpoint;
  std::vector<std::string> passed_over;
};

Latest latest(const fs::path& run) {
  Latest result;
  result.checkpoint = latest_checkpoint(run, [&](std::string_view line) { result.passed_over.emplace_back(line); });
  return result;
}

}  // namespace

TEST_CASE("a checkpoint gives state and tensors back bit for bit") {
  const TemporaryFolder run;
  CHECK_FALSE(latest(run.path()).checkpoint);
  save(run.path(), 600);
  const Latest found = latest(run.path());
  REQUIRE(found.checkpoint);
  CHECK(found.passed_over.empty());
  CHECK(found.checkpoint->folder == run / "checkpoints/step_00000600");
  CHECK(names_in(found.checkpoint->folder) ==
        std::set<std::string>{"model.safetensors", "optimizer.safetensors", "state.json"});
  CHECK(found.checkpoint->state == state_at(600));
  const SafetensorsFile model(found.checkpoint->model());
  float weights[4];
  read_values(model.at("w", {2, 2}), weights, "w");
  CHECK(weights[0] == 600);
  TrainingState with_joules = state_at(601);
  with_joules.joules = 1.0 / 7;
  save_checkpoint(run.path(), with_joules, Values(1).model(), Values(1).optimizer(), 2);
  CHECK(latest(run.path()).checkpoint->state == with_joules);
}

TEST_CASE("old checkpoints go when the new one is whole") {
  const TemporaryFolder run;
  for (const std::int64_t step : {10, 20, 30, 40}) save(run.path(), step);
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step_00000030", "step_00000040"});
  save(run.path(), 123456789, 1);
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step_123456789"});
}

TEST_CASE("torn checkpoints are passed over with one line each, in favour of the newest whole one") {
  const TemporaryFolder run;
  const fs::path newest = run / "checkpoints/step_00000020";
  const auto damage = [&](const std::string& expected, const std::function<void()>& action) {
    INFO(expected);
    fs::remove_all(run / "checkpoints");
    save(run.path(), 10);
    save(run.path(), 20);
    REQUIRE(latest(run.path()).checkpoint->state.step == 20);
    action();
    const Latest found = latest(run.path());
    REQUIRE(found.checkpoint);
    CHECK(found.checkpoint->state.step == 10);
    REQUIRE(found.passed_over.size() == 1);
    INFO(found.passed_over[0]);
    CHECK(found.passed_over[0].find(newest.string()) == 1);
    CHECK(found.passed_over[0].find(expected) != std::string::npos);
    CHECK(found.passed_over[0].find('\n') == std::string::npos);
    CHECK(error_of([&] { open_checkpoint(newest); }).substr(0, 3) == "2 [");
  };
  const auto file = [&](const char* name) { return newest / name; };
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    damage("bytes, as state.json says", [&] { fs::resize_file(file(name), fs::file_size(file(name)) - 1); });
    damage("bytes, as state.json says", [&] { fs::resize_file(file(name), fs::file_size(file(name)) + 1); });
    damage("bytes, as state.json says", [&] { fs::resize_file(file(name), 0); });
    damage("a readable file", [&] { fs::remove(file(name)); });
    damage("the checksum", [&] {
      std::string content = read_file(file(name));
      content.back() = static_cast<char>(content.back() ^ 1);
      put_file(file(name), content);
    });
  }
  damage("state.json] expected a readable file", [&] { fs::remove(file("state.json")); });
  for (const char* text : {"", "{", "{}", "[]", "null", R"({"format":2})", R"({"format":1e999})"}) {
    damage("state.json", [&] { put_file(file("state.json"), text); });
  }
  for (const char* value : {"20.7", "1e2", "9223372036854775808", "null"}) {
    damage("state.json step] expected an integer in its range", [&] {
      std::string text = read_file(file("state.json"));
      const std::string whole = "\"step\": 20";
      text.replace(text.find(whole), whole.size(), "\"step\": " + std::string(value));
      text.replace(text.find("\"format\": 2"), 11, "\"format\": 1");  // which has no checksum
      put_file(file("state.json"), text);
    });
  }
  damage("as the folder's name says", [&] {
    fs::copy_file(run / "checkpoints/step_00000010/state.json", file("state.json"),
                  fs::copy_options::overwrite_existing);
  });
}

TEST_CASE("checkpoints that cannot be looked at are not none") {
  const TemporaryFolder run;
  CHECK_FALSE(latest(run.path()).checkpoint);
  put_file(run / "checkpoints", "no folder");
  CHECK(error_of([&] { latest(run.path()); }).starts_with("2 [" + (run / "checkpoints").string() + "] expected"));
}

TEST_CASE("what a kill leaves behind does no harm") {
  const TemporaryFolder run;
  save(run.path(), 10);
  put_file(run / "checkpoints/step_00000015.tmp/model.safetensors", "half");
  put_file(run / "checkpoints/step_00000020.tmp/model.safetensors", "half");
  put_file(run / "checkpoints/notes.txt", "mine");
  put_file(run / "checkpoints/step_x/y", "mine");
  CHECK(latest(run.path()).checkpoint->state.step == 10);
  save(run.path(), 20);
  CHECK(names_in(run / "checkpoints") ==
        std::set<std::string>{"step_00000010", "step_00000020", "notes.txt", "step_x"});
}

TEST_CASE("a torn checkpoint of the same or a later step is replaced, a whole one is left alone") {
  const TemporaryFolder run;
  save(run.path(), 10);
  save(run.path(), 20);
  save(run.path(), 30, 3);
  fs::remove(run / "checkpoints/step_00000020/state.json");
  fs::remove(run / "checkpoints/step_00000030/state.json");
  save(run.path(), 20);
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step_00000010", "step_00000020"});
  CHECK(latest(run.path()).passed_over.empty());
  const auto written = fs::last_write_time(run / "checkpoints/step_00000020");
  save(run.path(), 20);
  CHECK(fs::last_write_time(run / "checkpoints/step_00000020") == written);
}

TEST_CASE("a checkpoint that cannot be written is a run error and leaves the earlier ones") {
  const TemporaryFolder run;
  save(run.path(), 10);
  Values values(1);
  std::vector<NamedTensor> twice = values.model();
  twice.push_back(twice.front());
  CHECK(error_of([&] { save_checkpoint(run.path(), state_at(20), twice, values.optimizer(), 1); }).substr(0, 3) ==
        "1 [");
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step_00000010"});
  put_file(run / "file", "");
  CHECK(error_of([&] { save(run / "file", 10); }).find("expected a writable folder") != std::string::npos);
}
