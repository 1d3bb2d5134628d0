// A run folder with one change in one of its files is refused, or gives finite numbers to all who read it.
#include "tools/sweep/run_folder.h"

#include <cmath>
#include <map>

#include "engine/run_record.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/sealed_json.h"
#include "models/config.h"
#include "tests/fuzz/change.h"
#include "tools/ceg/input/curves.h"

namespace {
using namespace isoloss;
using namespace isoloss::ceg;
namespace fs = std::filesystem;

constexpr std::string_view kManifest = "manifest.json", kLog = "log.jsonl", kEvaluations = "eval.jsonl";
constexpr std::string_view kState = "checkpoints/step_00000004/state.json";
constexpr std::string_view kModel = "checkpoints/step_00000004/model.safetensors";
using Files = std::map<std::string, std::string, std::less<>>;

Manifest manifest() {
  Manifest manifest;
  manifest.name = "nano";
  manifest.config = to_json(load_configuration("nano", {{"run.steps=6"}, {"model.vocab=50"}}), {});
  manifest.toggles = {"layernorm, pre-norm"};
  manifest.parameters_active = manifest.parameters_total = 7900;
  manifest.train = {{"train.bin", "ab", 12345}};
  manifest.val = {{"val.bin", "ef", 17}};
  manifest.eval_sha256 = "0123";
  manifest.eval_tokens = 128, manifest.eval_windows = 2;
  manifest.init_file = "weights.safetensors", manifest.init_sha256 = "45";
  manifest.device = "cpu", manifest.threads = 2, manifest.cpu = "A processor";
  manifest.sweep = R"({"variant":"rope","class":"compute-independent","scale":"nano","seed":1,"parts":["a"]})";
  return manifest;
}

/// A run of six steps with a checkpoint at the fourth, written as `train` writes it.
Files written_run(const fs::path& folder) {
  RunRecord record = RunRecord::create(folder, manifest());
  const float weights[4] = {1, 2, 3, 4};
  for (std::int64_t step = 0; step <= 6; ++step) {
    const double done = static_cast<double>(step);
    if (step > 0) record.append(LogLine{step, step * 64, 1e6 * done, 0.5 * done, 5 - 0.1 * done, 1, 1e-3, 128});
    if (step % 2 == 0) {
      record.append(EvalLine{step, step * 64, 1e6 * done, 0.5 * done, 3 * done, 5 - 0.1 * done, {4, 5.5}});
    }
    if (step != 4) continue;
    const std::vector<NamedTensor> tensors = {{"w", DType::f32, {2, 2}, weights}};
    save_checkpoint(folder, {step, 256, 4e6, 2, 12, 1, record.mark()}, tensors, tensors, 1);
  }
  record.finish({4, 5});
  Files files;
  for (const std::string_view name : {kManifest, kLog, kEvaluations, kState, kModel}) {
    files[std::string(name)] = read_file(folder / name);
  }
  return files;
}

/// As a writer with this content would have sealed it, so that more than the checksum is tried.
std::string sealed_again(const std::string& text, bool is_manifest) {
  try {
    auto json = parse_json<nlohmann::ordered_json>(text, "fuzz");
    if (!json.is_object()) return text;
    json.erase("xxh64");
    seal(json, is_manifest ? "status" : "");
    return json.dump(2) + "\n";
  } catch (const std::exception&) {
    return text;  // no JSON, or strings that cannot be written
  }
}

/// The manifest of a run that ended with these records.
std::string manifest_of(const Files& files) {
  auto json = nlohmann::ordered_json::parse(files.find(kManifest)->second);
  for (const std::string_view name : {kLog, kEvaluations}) {
    const std::string& lines = files.find(name)->second;
    Xxh64 checksum;
    checksum.update(lines.data(), lines.size());
    json["records"][std::string(name)].update(to_json(FileDigest{lines.size(), checksum.value()}));
  }
  return sealed_again(json.dump(), true);
}

void expect_finite(const Run& run) {
  for (const Point& point : run.points) {
    fuzz::require(std::isfinite(point.val_loss), "an infinite loss");
    for (const auto& cost : point.cost) fuzz::require(!cost || std::isfinite(*cost), "an infinite cost");
  }
}

void go_on(const fs::path& folder, const Checkpoint& checkpoint) {
  fuzz::require(std::isfinite(checkpoint.state.flops) && std::isfinite(checkpoint.state.seconds), "infinite costs");
  RunRecord record = RunRecord::resume(folder, checkpoint);
  const std::int64_t last = record.last_evaluated_step();
  fuzz::require(last <= checkpoint.state.step && last >= -1, "an evaluation past the checkpoint");
  record.append(LogLine{checkpoint.state.step + 1});
  fuzz::require(read_manifest(folder).status == RunStatus::running, "a run that does not run");
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fs::path folder = fuzz::scratch_folder() / "run";
  static const Files whole = written_run(folder);
  fuzz::Choices choices(data, size);
  const bool marked = choices.flag();  // an earlier version's checkpoint knows nothing of the record
  Files files = whole;
  if (!marked) {
    auto state = nlohmann::ordered_json::parse(files.find(kState)->second);
    state["format"] = 1;
    for (const char* key : {"run", "records", "xxh64"}) state.erase(key);
    files.find(kState)->second = state.dump();
  }
  std::string& chosen = files.find(choices.one_of({kManifest, kState, kLog, kEvaluations, kModel}))->second;
  const bool is_manifest = &chosen == &files.find(kManifest)->second, is_state = &chosen == &files.find(kState)->second;
  const fuzz::Document document(chosen, choices);
  chosen = (is_manifest || is_state) && !choices.rarely(4) ? sealed_again(document.text, is_manifest) : document.text;
  const bool is_record = &chosen == &files.find(kLog)->second || &chosen == &files.find(kEvaluations)->second;
  if (is_record && !choices.rarely(4)) files.find(kManifest)->second = manifest_of(files);
  for (const auto& [name, text] : files) fuzz::put_file(folder / name, text);

  fuzz::accepted(document.valid, [&] { (void)configuration_of_run(folder); });
  fuzz::accepted(document.valid, [&] { expect_finite(read_run_folder(folder)); });
  fuzz::accepted(document.valid, [&] {
    const std::string text = to_json(read_manifest(folder));
    fuzz::put_file(folder / kManifest, text);
    fuzz::require(to_json(read_manifest(folder)) == text, "another manifest when written again");
  });
  fuzz::put_file(folder / kManifest, files.find(kManifest)->second);
  (void)steps_done(folder);
  fuzz::accepted(document.valid, [&] { go_on(folder, open_checkpoint(folder / "checkpoints/step_00000004")); });
  return 0;
}
