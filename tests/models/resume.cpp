// What a resumed run inherits, and what it refuses to inherit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/trainer.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "models/transformer.h"
#include "models/weights.h"
#include "tests/harness/files.h"
#include "tests/harness/tiny_run.h"

using namespace isoloss;
using test::error_of, test::Outcome, test::put_file, test::tiny_config, test::tiny_spec, test::train;
namespace fs = std::filesystem;

namespace {

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

/// A record without what time decides.
std::vector<nlohmann::json> timeless(const std::string& text) {
  std::vector<nlohmann::json> lines = lines_of(text);
  for (nlohmann::json& line : lines) line.erase("seconds"), line.erase("tokens_per_second");
  return lines;
}

/// A manifest without the ends of the records, in which there are seconds.
nlohmann::json timeless_manifest(const fs::path& run) {
  nlohmann::json manifest = nlohmann::json::parse(read_file(run / "manifest.json"));
  manifest.erase("records"), manifest.erase("xxh64");
  return manifest;
}

bool same_run(const fs::path& a, const fs::path& b) {
  const auto same = [&](const char* name) { return read_file(a / name) == read_file(b / name); };
  const auto same_lines = [&](const char* name) {
    return timeless(read_file(a / name)) == timeless(read_file(b / name));
  };
  return same("model.safetensors") && timeless_manifest(a) == timeless_manifest(b) && same_lines("log.jsonl") &&
         same_lines("eval.jsonl");
}

/// The files of a run folder, below it as well.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path().lexically_relative(folder));
  }
  std::ranges::sort(files);
  return files;
}

/// The smallest run that has everything: two checkpoints of an interrupted run, a few steps before its end.
struct Interrupted {
  Interrupted() {
    spec.layers = 1, spec.width = 8, spec.heads = 1, spec.kv_heads = 1, spec.context = 8;
    config.run.steps = 6;
    config.run.eval_every = 2;
    config.run.checkpoint_every = 2;
    config.run.keep_checkpoints = 2;
    config.run.batch_tokens = 4 * 8;
    train(folder / "whole", spec, config);
    train(folder / "stopped", spec, config, false, 4);
  }

  /// Resumes a copy of the interrupted run that `damage` has changed: "" when it ends as the run that nothing happened
  /// to, else the input error; anything else fails the test.
  std::string outcome(const std::function<void(const fs::path&)>& damage) {
    const fs::path copy = folder / "copy";
    fs::remove_all(copy);
    fs::copy(folder / "stopped", copy, fs::copy_options::recursive);
    damage(copy);
    const std::string error = error_of([&] {
      if (!latest_checkpoint(copy, [](std::string_view) {})) fail_input(copy.string(), "a checkpoint", "none");
      train(copy, spec, config, true);
    });
    if (error.empty()) {
      CHECK(same_run(folder / "whole", copy));
    } else {
      CHECK_MESSAGE(error.starts_with("2 ["), error);
    }
    return error;
  }

  test::TemporaryFolder folder;
  ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
};

void flip(const fs::path& file, std::size_t bit) {
  std::string content = read_file(file);
  content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << bit % 8));
  put_file(file, content);
}

}  // namespace

TEST_CASE_FIXTURE(Interrupted, "a flipped bit anywhere in an interrupted run is found, or changes nothing") {
  CHECK(outcome([](const fs::path&) {}).empty());
  const std::vector<fs::path> files = files_below(folder / "stopped");
  CHECK(files.size() == 9);
  for (const fs::path& file : files) {
    CAPTURE(file.string());
    const std::size_t bits = 8 * fs::file_size(folder / "stopped" / file);
    const std::size_t tries = 24;
    std::size_t found = 0;
    for (std::size_t i = 0; i < tries; ++i) {
      const std::size_t bit = (2 * i + 1) * bits / (2 * tries) + i % 8;
      CAPTURE(bit);
      const std::string error = outcome([&](const fs::path& copy) { flip(copy / file, std::min(bit, bits - 1)); });
      found += !error.empty();
    }
    // A damaged checkpoint gives way to the one before; of the others nearly everything is told (not all: spaces).
    if (file.has_parent_path()) continue;
    CHECK(found >= tries / 2);
  }
}

TEST_CASE_FIXTURE(Interrupted,
                  "a value of the state or the manifest that was changed is told by the checksum over them") {
  const auto edited = [](const fs::path& file, const char* key, const nlohmann::ordered_json& value) {
    auto json = nlohmann::ordered_json::parse(read_file(file));
    REQUIRE(json.at(key) != value);
    json[key] = value;
    put_file(file, json.dump(2) + "\n");
  };
  const std::string told = "expected values of the checksum ";
  const std::string error = outcome([&](const fs::path& copy) { edited(copy / "manifest.json", "threads", 7); });
  CHECK_MESSAGE(error.find("copy/manifest.json] " + told) != std::string::npos, error);
  // The status is the one thing that may change: a run that was killed is as good as one that was interrupted.
  CHECK(outcome([&](const fs::path& copy) { edited(copy / "manifest.json", "status", "running"); }).empty());
  const fs::path newest = folder / "stopped/checkpoints/step_00000005";
  for (const char* key : {"seconds", "joules", "tokens", "flops", "seed"}) {
    const std::string before = read_file(newest / "state.json");
    edited(newest / "state.json", key, 1234);
    const std::string refused = error_of([&] { open_checkpoint(newest); });
    CHECK_MESSAGE(refused.find("state.json] " + told) != std::string::npos, refused);
    put_file(newest / "state.json", before);
  }
}

TEST_CASE_FIXTURE(Interrupted, "a bit in the only checkpoint leaves nothing to go on from") {
  const auto only = [](const fs::path& copy) {
    fs::remove_all(copy / "checkpoints/step_00000004");
    return copy / "checkpoints/step_00000005";
  };
  CHECK(outcome([&](const fs::path& copy) { only(copy); }).empty());
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    CHECK_FALSE(outcome([&](const fs::path& copy) {
                  const fs::path file = only(copy) / name;
                  flip(file, 4 * fs::file_size(file));
                }).empty());
  }
}

TEST_CASE_FIXTURE(Interrupted, "weights of a checkpoint are checked by whoever loads them, those of a run as well") {
  for (const char* name : {"stopped/checkpoints/step_00000005/model.safetensors", "whole/model.safetensors"}) {
    const fs::path weights = folder / name;
    ParameterStore store;
    evaluation_graph(spec, store, 1);
    store.lay_out();
    store.allocate(false);
    CHECK(error_of([&] { load_weights(store, weights); }).empty());
    flip(weights, 8 * fs::file_size(weights) - 20);  // of the last number, which stays one
    const std::string error = error_of([&] { load_weights(store, weights); });
    CHECK_MESSAGE(error.starts_with("2 [" + weights.string() + "] expected the checksum "), error);
  }
}

TEST_CASE_FIXTURE(Interrupted, "a finished run whose record or weights have changed is found") {
  const fs::path run = folder / "whole";
  const auto error = [&] { return error_of([&] { expect_finished_whole(run, read_manifest(run)); }); };
  CHECK(error().empty());
  for (const char* name : {"log.jsonl", "eval.jsonl", "model.safetensors"}) {
    const std::string whole = read_file(run / name), named = "2 [" + (run / name).string() + "] expected ";
    for (const std::size_t bit : {std::size_t{0}, whole.size() * 4, whole.size() * 8 - 1}) {
      flip(run / name, bit);
      CHECK(error().starts_with(named + "the checksum "));
      put_file(run / name, whole);
    }
    for (const std::string& text : {whole.substr(0, whole.size() - 1), whole + "\n", std::string()}) {
      put_file(run / name, text);
      CHECK(error().starts_with(named + std::to_string(whole.size()) + " bytes, as manifest.json says"));
    }
    fs::remove(run / name);
    CHECK(error().starts_with("2 [" + (run / name).string() + "] "));
    put_file(run / name, whole);
  }
  CHECK(error().empty());
}

TEST_CASE_FIXTURE(Interrupted, "what a kill kept from being removed goes when the run goes on, also at its end") {
  const fs::path run = folder / "whole", old = run / "checkpoints/step_00000001";
  const std::string weights = read_file(run / "model.safetensors");
  fs::remove(run / "model.safetensors");
  fs::create_directory(old);
  CHECK(train(run, spec, config, true).status == RunStatus::finished);
  CHECK_FALSE(fs::exists(old));
  CHECK(read_file(run / "model.safetensors") == weights);
}

TEST_CASE_FIXTURE(Interrupted, "a record that lost, repeats or changed a line is named, and left as it is") {
  const auto edit = [&](const char* name, const std::function<std::string(std::vector<std::string>)>& change) {
    std::string after;
    const std::string error = outcome([&](const fs::path& copy) {
      std::vector<std::string> lines;
      std::istringstream in(read_file(copy / name));
      for (std::string line; std::getline(in, line);) lines.push_back(line + "\n");
      after = change(lines);
      put_file(copy / name, after);
    });
    INFO(error);
    CHECK(error.find("copy/" + std::string(name) + "] expected the ") != std::string::npos);
    CHECK(error.find(" lines that ") != std::string::npos);
    CHECK(read_file(folder / "copy" / name) == after);
  };
  for (const char* name : {"log.jsonl", "eval.jsonl"}) {
    edit(name, [](const auto&) { return std::string(); });
    edit(name, [](const auto& lines) { return lines[0]; });
    edit(name, [](const auto& lines) { return lines[0] + lines[2]; });
    edit(name, [](const auto& lines) { return lines[0] + lines[1] + lines[1] + lines[2]; });
    edit(name, [](auto lines) {
      const std::size_t digit = lines[1].find(":") + 1;
      lines[1][digit] = lines[1][digit] == '9' ? '8' : '9';
      std::string all;
      for (const std::string& line : lines) all += line;
      return all;
    });
    CHECK(outcome([&](const fs::path& copy) { fs::remove(copy / name); }).find(name) != std::string::npos);
    CHECK(
        outcome([&](const fs::path& copy) { put_file(copy / name, read_file(copy / name) + "{\"step\":9"); }).empty());
  }
}

TEST_CASE_FIXTURE(Interrupted, "a checkpoint of another run is named") {
  RunConfig other = config;
  other.run.seed = 12;
  Manifest manifest;
  manifest.seed = 12;
  const fs::path foreign = folder / "foreign";
  train(foreign, spec, other, false, 4);
  // The harness describes no run: what tells the two apart is the manifest.
  RunRecord::resume(foreign, *latest_checkpoint(foreign, [](std::string_view) {})).update(manifest);
  const std::string error = outcome([&](const fs::path& copy) {
    fs::copy_file(foreign / "manifest.json", copy / "manifest.json", fs::copy_options::overwrite_existing);
  });
  CHECK_MESSAGE(error.find("step_00000005/state.json] expected a checkpoint of the run ") != std::string::npos, error);
}

TEST_CASE_FIXTURE(Interrupted, "a checkpoint of the version before, without checksums of the record, goes on") {
  const auto older = [](const fs::path& copy) {
    for (const auto& checkpoint : fs::directory_iterator(copy / "checkpoints")) {
      auto state = nlohmann::ordered_json::parse(read_file(checkpoint.path() / "state.json"));
      for (const char* key : {"run", "records", "xxh64"}) state.erase(key);
      state["format"] = 1;
      put_file(checkpoint.path() / "state.json", state.dump(2) + "\n");
    }
    auto manifest = nlohmann::ordered_json::parse(read_file(copy / "manifest.json"));
    manifest.erase("xxh64");
    put_file(copy / "manifest.json", manifest.dump(2) + "\n");
  };
  CHECK(outcome(older).empty());
  older(folder / "stopped");
  CHECK_FALSE(latest_checkpoint(folder / "stopped", [](std::string_view) {})->state.record);
}

TEST_CASE_FIXTURE(Interrupted, "seconds and joules of a resumed run go on where they were") {
  const auto counted = [&](const fs::path& run, std::int64_t stop_after, bool resume, std::int64_t blind_from) {
    std::int64_t asked = 0;
    return train(run, spec, config, resume, stop_after, DeviceKind::cpu, [&](Trainer& trainer) {
      trainer.energy = [&asked, blind_from]() -> std::optional<double> {
        return ++asked > blind_from ? std::nullopt : std::optional(2.5);
      };
    });
  };
  const std::int64_t never = 1 << 20;
  counted(folder / "run", 2, false, never);
  const Outcome run = counted(folder / "run", -1, true, never);
  double seconds = 0;
  for (const nlohmann::json& line : lines_of(run.log)) {
    seconds += 4 * 8 / line.at("tokens_per_second").get<double>();
    CHECK(line.at("seconds").get<double>() / seconds == doctest::Approx(1).epsilon(1e-9));
  }
  std::vector<double> joules;
  for (const nlohmann::json& line : lines_of(run.evaluations)) {
    if (line.at("step") > 0) joules.push_back(line.at("joules"));
  }
  CHECK(joules == std::vector{5.0, 10.0, 15.0});

  // A counter that fails once leaves no sum, also after a resume with one that works again.
  counted(folder / "blind", 2, false, 3);
  const Outcome blind = counted(folder / "blind", -1, true, never);
  CHECK(lines_of(blind.evaluations).back().at("joules").is_null());
}

TEST_CASE("3 micro-batches are one: the gradient is the mean over all") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  // Neither a normalised step nor clipping, which would hide the gradient's scale.
  config.optimizer.kind = OptimizerKind::sgd;
  config.optimizer.clip_norm = 0;
  config.optimizer.learning_rate = 0.1;
  config.run.micro_batch = 6;
  config.run.batch_tokens = 6 * spec.context;
  const Outcome one = train(folder / "one", spec, config);
  config.run.micro_batch = 2;
  const Outcome three = train(folder / "three", spec, config);
  const auto one_lines = lines_of(one.log), three_lines = lines_of(three.log);
  REQUIRE(one_lines.size() == three_lines.size());
  for (std::size_t i = 0; i < one_lines.size(); ++i) {
    for (const char* key : {"loss", "grad_norm"}) {
      // Another order of sums: 1e-7 relative a step, and twelve steps.
      CHECK(three_lines[i].at(key).get<double>() == doctest::Approx(one_lines[i].at(key).get<double>()).epsilon(1e-5));
    }
  }
}

TEST_CASE("a checkpoint holds only weights whose loss is finite, and gives way to no others") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = tiny_spec();
  RunConfig config = tiny_config(spec);
  config.run.checkpoint_every = 1;
  config.run.keep_checkpoints = 1;
  config.run.eval_every = 0;
  RunConfig wild = config;
  wild.optimizer.learning_rate = 1e38;
  CHECK(error_of([&] { train(folder / "wild", spec, wild); }).starts_with("1 [step 1] expected a finite loss"));
  CHECK(latest_checkpoint(folder / "wild", [](std::string_view) {})->state.step == 0);  // the start is kept
  train(folder / "run", spec, config, false, 3);
  const auto before = latest_checkpoint(folder / "run", [](std::string_view) {});
  REQUIRE(before.has_value());
  // From here on: one finite update, after which no value is as it should be.
  config.optimizer.learning_rate = 1e38;
  const auto error = [&] { return error_of([&] { train(folder / "run", spec, config, true); }); };
  const std::string first = error();
  CHECK_MESSAGE(first.starts_with("1 [step 5] expected a finite loss and gradient, got loss "), first);
  CHECK(read_manifest(folder / "run").status == RunStatus::diverged);
  expect_records(folder / "run", read_manifest(folder / "run"));
  CHECK(read_manifest(folder / "run").records->log.lines == 5);
  const auto after = latest_checkpoint(folder / "run", [](std::string_view) {});
  REQUIRE(after.has_value());
  CHECK(after->state == before->state);
  CHECK(std::distance(fs::directory_iterator(folder / "run/checkpoints"), fs::directory_iterator()) == 1);
  CHECK(error() == first);  // resumed, it does the same again
  CHECK(lines_of(read_file(folder / "run/log.jsonl")).size() == 5);
  config.optimizer.learning_rate = 3e-3;  // and what is there is worth going on with
  CHECK(train(folder / "run", spec, config, true).status == RunStatus::finished);
}
