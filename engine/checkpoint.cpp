#include "engine/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/sealed_json.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "step_", kTemporary = ".tmp";
constexpr int kFormatWithoutSeal = 1, kFormat = 2;
constexpr const char* kState = "state.json";
constexpr const char* kModel = "model.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";

fs::path checkpoints_of(const fs::path& run) { return run / "checkpoints"; }

/// The step in a folder's name `step_00000600`, nothing for other names.
std::optional<std::int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::int64_t step = -1;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stop == end && step >= 0 ? std::optional(step) : std::nullopt;
}

struct Numbered {
  std::int64_t step;
  fs::path folder;
};

/// The checkpoint folders of a run, newest first, whole or not; none where there is no such folder.
std::vector<Numbered> numbered_folders(const fs::path& checkpoints) {
  std::vector<Numbered> folders;
  if (!fs::exists(checkpoints)) return folders;
  for (const fs::path& entry : entries_of(checkpoints)) {
    if (const auto step = step_of(entry)) folders.push_back({*step, entry});
  }
  std::sort(folders.begin(), folders.end(), [](const Numbered& a, const Numbered& b) { return a.step > b.step; });
  return folders;
}

nlohmann::ordered_json json_of(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

std::optional<double> optional_number(const nlohmann::ordered_json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<double>());
}

nlohmann::ordered_json json_of(const TrainingState& state) {
  nlohmann::ordered_json json = {{"format", kFormat},    {"step", state.step},       {"tokens", state.tokens},
                                 {"flops", state.flops}, {"seconds", state.seconds}, {"joules", json_of(state.joules)},
                                 {"seed", state.seed}};
  if (state.record) {
    json["run"] = state.record->run;
    json["records"] = to_json(state.record->lines);
  }
  return json;
}

TrainingState state_from(const nlohmann::ordered_json& json) {
  TrainingState state;
  state.step = integer_at<std::int64_t>(json, "step");
  state.tokens = integer_at<std::int64_t>(json, "tokens");
  state.flops = json.at("flops").get<double>();
  state.seconds = json.at("seconds").get<double>();
  state.joules = optional_number(json.at("joules"));
  state.seed = integer_at<std::uint64_t>(json, "seed");
  if (json.contains("records")) {
    state.record = {json.at("run").get<std::string>(), record_lines_from(json.at("records"))};
  }
  return state;
}

bool is_whole(const fs::path& folder) {
  try {
    open_checkpoint(folder);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// File system errors of `action` as this project's own.
template <class Action>
void guarded(const fs::path& path, Action action) {
  try {
    action();
  } catch (const fs::filesystem_error& error) {
    fail_run(path.string(), "a writable folder", error.code().message());
  }
}

void remove_leftovers(const fs::path& checkpoints) {
  for (const fs::path& entry : entries_of(checkpoints)) {
    const std::string name = entry.filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kTemporary)) fs::remove_all(entry);
  }
}

/// A new folder that is gone again unless it got its final name.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(fs::path path) : path_(std::move(path)) {
    guarded(path_, [&] { fs::create_directory(path_); });
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);  // nothing is there after rename_to
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const fs::path& path() const { return path_; }
  void rename_to(const fs::path& folder) {
    guarded(folder, [&] {
      fs::remove_all(folder);  // the torn one of the same name, if any
      fs::rename(path_, folder);
    });
  }

 private:
  fs::path path_;
};

/// Removes a checkpoint under a name that no resume takes: a kill leaves a whole one, or leftovers.
void retire(const fs::path& folder) {
  fs::path leftover = folder;
  leftover += kTemporary;
  fs::rename(folder, leftover);
  fs::remove_all(leftover);
}

/// A folder of a later step than the one just saved is torn: the resume that led here passed it over.
void prune(const fs::path& checkpoints, std::int64_t step, std::int64_t keep) {
  std::int64_t kept = 0;
  for (const Numbered& found : numbered_folders(checkpoints)) {
    if (found.step > step || ++kept > std::max<std::int64_t>(keep, 1)) retire(found.folder);
  }
}

}  // namespace

void save_checkpoint(const fs::path& run, const TrainingState& state, std::vector<NamedTensor> model,
                     std::vector<NamedTensor> optimizer, std::int64_t keep,
                     const std::map<std::string, std::string>& origin) {
  const fs::path checkpoints = checkpoints_of(run);
  const fs::path folder = checkpoints / fmt::format("{}{:08d}", kPrefix, state.step);
  guarded(checkpoints, [&] {
    if (fs::create_directories(checkpoints)) sync_directory(run);
    remove_leftovers(checkpoints);
  });
  if (!is_whole(folder)) {
    TemporaryFolder temporary(checkpoints / (folder.filename().string() + std::string(kTemporary)));
    const FileDigest model_digest = write_safetensors(temporary.path() / kModel, std::move(model), origin);
    const FileDigest optimizer_digest = write_safetensors(temporary.path() / kOptimizer, std::move(optimizer));
    nlohmann::ordered_json json = json_of(state);
    json["files"] = {{kModel, to_json(model_digest)}, {kOptimizer, to_json(optimizer_digest)}};
    seal(json);
    write_file_atomically(temporary.path() / kState, json.dump(2) + "\n");
    temporary.rename_to(folder);
    sync_directory(checkpoints);
  }
  guarded(checkpoints, [&] { prune(checkpoints, state.step, keep); });
}

Checkpoint open_checkpoint(const fs::path& folder) {
  const fs::path path = folder / kState;
  const auto json = parse_json<nlohmann::ordered_json>(read_file(path), path.string());
  return read_json(path.string(), "the state of a checkpoint", [&]() -> Checkpoint {
    const nlohmann::ordered_json& format = json.at("format");
    if (format == kFormat) {
      expect_seal(json, path);
    } else if (format != kFormatWithoutSeal) {
      fail_input(path.string() + " format", fmt::format("{} or {}", kFormatWithoutSeal, kFormat), format.dump());
    }
    const TrainingState state = state_from(json);
    if (step_of(folder) && *step_of(folder) != state.step) {
      fail_input(path.string() + " step", fmt::format("{}, as the folder's name says", *step_of(folder)),
                 fmt::format("{}", state.step));
    }
    for (const char* name : {kModel, kOptimizer}) {
      expect_digest(folder / name, digest_from(json.at("files").at(name)), kState);
    }
    return {folder, state};
  });
}

std::optional<Checkpoint> latest_checkpoint(const fs::path& run,
                                            const std::function<void(std::string_view)>& passed_over) {
  for (const Numbered& found : numbered_folders(checkpoints_of(run))) {
    try {
      return open_checkpoint(found.folder);
    } catch (const Error& error) {
      passed_over(fmt::format("{}; this checkpoint is passed over", error.what()));
    }
  }
  return std::nullopt;
}

}  // namespace isoloss
