#include "tools/sweep/run_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "engine/checkpoint.h"
#include "engine/run_record.h"
#include "kernels/base/error.h"
#include "kernels/base/json_text.h"

namespace isoloss {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// The end of a text file, from the beginning of a line on.
std::string tail(const fs::path& path, std::streamoff bytes) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const std::streamoff size = file.tellg(), start = std::max<std::streamoff>(0, size - bytes);
  file.seekg(start);
  std::string text(static_cast<std::size_t>(size - start), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (start > 0) text.erase(0, text.find('\n') + 1);
  return text;
}

/// The last line that ended: a line being written right now is no line yet.
json last_record(const fs::path& path) {
  std::string text = tail(path, 1 << 14);  // an evaluation line with its 64 block losses stays well under this
  text.resize(text.find_last_of('\n') + 1);
  if (text.empty()) return {};
  text.pop_back();
  const std::string line = text.substr(text.find_last_of('\n') + 1);
  return try_parse_json(line).value_or(json());
}

/// Where two JSON values part: the first key, and both values there.
struct Difference {
  std::string key;
  json expected, found;
};

std::optional<Difference> difference(const json& expected, const json& found, const std::string& key = "") {
  if (expected == found) return std::nullopt;
  if (expected.is_object() && found.is_object()) {
    for (const auto& [name, value] : expected.items()) {
      const json other = found.contains(name) ? found[name] : json();
      if (auto inner = difference(value, other, key.empty() ? name : key + "." + name)) return inner;
    }
  }
  return Difference{key, expected, found};
}

std::optional<Difference> difference(const fs::path& folder, const PlannedRun& planned, const Manifest& manifest) {
  const Configuration found = configuration_of_run(folder);
  Configuration expected = planned.configuration;
  if (expected.model.vocab == 0) expected.model.vocab = found.model.vocab;  // known only beside the data
  if (auto d = difference(parse_json(to_json(expected, folder), "suite"),
                          parse_json(to_json(found, folder), folder.string())))
    return d;
  return difference(parse_json(planned.label, "suite"), try_parse_json(manifest.sweep).value_or(json()));
}

}  // namespace

bool holds(const fs::path& folder, const PlannedRun& planned) {
  return fs::exists(folder / "manifest.json") && !difference(folder, planned, read_manifest(folder));
}

Found inspect(const fs::path& folder, const PlannedRun& planned) {
  if (!fs::exists(folder / "manifest.json")) return Found::nothing;
  const Manifest manifest = read_manifest(folder);
  if (const auto other = difference(folder, planned, manifest)) {
    fail_input(folder.string(), fmt::format("the suite's {} = {}", other->key, other->expected.dump()),
               fmt::format("a run with {}; remove that folder or choose another --out", other->found.dump()));
  }
  expect_records(folder, manifest);
  if (manifest.status == RunStatus::finished) return Found::finished;
  if (manifest.status == RunStatus::diverged) return Found::diverged;
  return Found::begun;
}

bool resumable(const fs::path& folder, const std::function<void(std::string_view)>& passed_over) {
  return latest_checkpoint(folder, passed_over).has_value();
}

std::optional<fs::file_time_type> last_change(const fs::path& folder) {
  std::optional<fs::file_time_type> last;
  for (const char* name : {"manifest.json", "train.log"}) {
    std::error_code missing;
    const auto written = fs::last_write_time(folder / name, missing);
    if (!missing) last = std::max(last.value_or(written), written);
  }
  return last;
}

std::int64_t steps_done(const fs::path& folder) {
  const json line = last_record(folder / "log.jsonl");
  return line.is_object() && line.contains("step") ? integer_in<std::int64_t>(line["step"]).value_or(0) : 0;
}

double final_loss(const fs::path& folder, const PlannedRun& planned) {
  const fs::path file = folder / "eval.jsonl";
  const json line = last_record(file);
  const std::int64_t last = planned.configuration.run.run.steps;
  const bool whole = line.is_object() && line.contains("step") && line["step"] == last && line.contains("val_loss") &&
                     line["val_loss"].is_number();
  if (!whole) {
    fail_input(file.string(), fmt::format("the validation loss after step {} of a finished run as its last line", last),
               line.is_object() ? line.dump().substr(0, 80) : "none");
  }
  return line["val_loss"].get<double>();
}

std::string last_error(const fs::path& folder) {
  std::string text = tail(folder / "train.log", 1 << 14);
  const std::string mark = "error: ";
  auto at = text.rfind("\n" + mark);
  at = at != std::string::npos ? at + 1 : (text.starts_with(mark) ? 0 : std::string::npos);
  if (at == std::string::npos) return {};
  at += mark.size();
  return text.substr(at, text.find('\n', at) - at);
}

}  // namespace isoloss
