// One run folder: manifest.json says what was run, eval.jsonl holds its curve.
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/name.h"
#include "kernels/base/sealed_json.h"
#include "tools/ceg/input/curves.h"
#include "tools/ceg/input/run_reading.h"

namespace isoloss::ceg {
namespace {
using nlohmann::json;

json parse_object(std::string_view text, const std::string& where) {
  json value = parse_json(text, where, "a JSON object");
  if (!value.is_object()) fail_input(where, "a JSON object", "something else");
  return value;
}

const json* member(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_member(const json& object, const char* key, const std::string& where, std::string otherwise) {
  const json* value = member(object, key);
  if (!value) return otherwise;
  if (!value->is_string()) fail_input(where, fmt::format("a string for `{}`", key), value->type_name());
  return value->get<std::string>();
}

std::optional<double> number_member(const json& object, const char* key, const std::string& where) {
  const json* value = member(object, key);
  if (!value) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    fail_input(where, fmt::format("a finite number for `{}`", key),
               value->is_number() ? "infinity" : value->type_name());
  }
  return value->get<double>();
}

const json& object_member(const json& object, const char* key, std::string_view where) {
  static const json empty = json::object();
  const json* value = member(object, key);
  if (!value) return empty;
  if (!value->is_object()) fail_input(where, fmt::format("an object for `{}`", key), value->type_name());
  return *value;
}

std::int64_t seed_member(const json& object, const std::string& where, std::int64_t otherwise) {
  const json* value = member(object, "seed");
  if (!value) return otherwise;
  const auto seed = integer_in<std::int64_t>(*value);
  if (!seed) fail_input(where, "a whole number for `seed`", value->dump());
  return *seed;
}

/// Whatever the manifest says about the machine and how much of it was used, as one comparable text.
std::string hardware_text(const json& manifest) {
  std::string text;
  for (const char* key : {"hardware", "device", "threads"}) {
    if (const json* value = member(manifest, key)) {
      text += fmt::format("{} {} ", key, value->dump(-1, ' ', false, json::error_handler_t::replace));
    }
  }
  return text;
}

/// What a sweep calls a run: in the run's manifest and in the sweep's plan.
void read_labels(Run& run, const json& labels, const std::string& where) {
  run.variant = text_member(labels, "variant", where, run.source.filename().string());
  run.scale = text_member(labels, "scale", where, "default");
  run.variant_class = text_member(labels, "class", where, "");
  check_name(run.variant, where, "variant");
  check_name(run.scale, where, "scale");
  if (!run.variant_class.empty()) check_name(run.variant_class, where, "class");
}

/// The hashes of the training shards, one after the other.
std::string shard_hashes(const json& data, const std::string& where) {
  std::string hashes;
  const json* files = member(data, "train");
  if (!files) return hashes;
  if (!files->is_array()) fail_input(where, "an array for `train`", files->type_name());
  for (const json& file : *files) {
    if (!file.is_object()) fail_input(where, "objects in `train`", file.type_name());
    hashes += text_member(file, "sha256", where, "");
  }
  return hashes;
}

/// The configuration as "group.key" and value, without what tells runs of one variant apart or leaves losses as they
/// are.
std::map<std::string, std::string> settings_of(const json& manifest, const std::string& where) {
  static const std::set<std::string, std::less<>> passed_over{
      "data.train", "data.val", "run.seed", "run.checkpoint_every", "run.log_every", "run.keep_checkpoints"};
  std::map<std::string, std::string> settings;
  for (const auto& [group, keys] : object_member(manifest, "config", where).items()) {
    if (!keys.is_object()) continue;
    for (const auto& [key, value] : keys.items()) {
      const std::string name = fmt::format("{}.{}", group, key);
      if (!passed_over.contains(name)) settings[name] = value.dump(-1, ' ', false, json::error_handler_t::replace);
    }
  }
  return settings;
}

void read_manifest(Run& run, const json& manifest, const std::string& where) {
  const json& sweep = object_member(manifest, "sweep", where);
  read_labels(run, sweep, where);
  run.seed = seed_member(sweep, where, seed_member(manifest, where, 0));
  if (const json* parts = member(sweep, "parts")) {
    if (!parts->is_array()) fail_input(where, "an array for `parts`", parts->type_name());
    for (const json& part : *parts) {
      if (!part.is_string()) fail_input(where, "strings in `parts`", part.type_name());
      run.parts.push_back(part.get<std::string>());
      check_name(run.parts.back(), where, "part");
    }
  }
  const json& evaluation = object_member(manifest, "eval", where);
  run.evaluation_set = text_member(evaluation, "data_sha256", where, "");
  if (const auto tokens = number_member(evaluation, "tokens", where)) {
    run.evaluation_set += fmt::format(" ({:.0f} tokens)", *tokens);
  }
  const json& data = object_member(manifest, "data", where);
  run.tokenizer = text_member(data, "tokenizer_sha256", where, "");
  run.training_data = shard_hashes(data, where);
  run.settings = settings_of(manifest, where);
  run.hardware = hardware_text(manifest);
  run.status = text_member(manifest, "status", where, "");
}

Point read_point(const json& line, const std::string& where, std::optional<double> active_parameters) {
  Point point;
  const auto loss = number_member(line, "val_loss", where);
  if (!loss) fail_input(where, "a number for `val_loss`", line.contains("val_loss") ? "null" : "none");
  point.val_loss = *loss;
  const auto step = number_member(line, "step", where);
  if (!step) fail_input(where, "a number for `step`", "none");
  point.cost[0] = step;
  for (const CostAxis cost :
       {CostAxis::tokens, CostAxis::flops, CostAxis::flops_6nd, CostAxis::seconds, CostAxis::joules}) {
    point.cost[static_cast<std::size_t>(cost)] = number_member(line, std::string(cost_name(cost)).c_str(), where);
  }
  const auto tokens = point.cost[static_cast<std::size_t>(CostAxis::tokens)];
  auto& flops_6nd = point.cost[static_cast<std::size_t>(CostAxis::flops_6nd)];
  if (!flops_6nd && tokens && active_parameters) flops_6nd = 6 * *active_parameters * *tokens;
  if (const json* blocks = member(line, "block_losses")) {
    if (!blocks->is_array()) fail_input(where, "an array for `block_losses`", blocks->type_name());
    for (const json& block : *blocks) {
      if (!block.is_number() || !std::isfinite(block.get<double>())) {
        fail_input(where, "finite numbers in `block_losses`", block.type_name());
      }
      point.block_losses.push_back(block.get<double>());
    }
  }
  return point;
}

/// The evaluations of eval.jsonl: their steps rise from line to line, as the run wrote them.
void read_record(Run& run, const std::string& path, std::optional<double> active_parameters) {
  const std::string text = read_file(path);
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = trimmed(rest.substr(0, end));
    const bool torn = end == std::string_view::npos && !try_parse_json(line);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.empty()) continue;
    if (torn) {
      // One that the run is still writing, or was killed while it wrote.
      run.notes.push_back({std::nullopt, "the record ends within a line, what is left of which is not taken"});
      continue;
    }
    const std::string where = fmt::format("{}:{}", path, number);
    Point point = read_point(parse_object(line, where), where, active_parameters);
    if (!run.points.empty() && !(*point.cost[0] > *run.points.back().cost[0])) {
      fail_input(where, fmt::format("a step above {}, that of the line before", *run.points.back().cost[0]),
                 fmt::format("{}", *point.cost[0]));
    }
    run.points.push_back(std::move(point));
  }
}

/// A run evaluates at its start, every so many steps and at its end. A finished one whose record ends elsewhere was
/// damaged, and its curve would stand for a shorter run; what a record lacks at its beginning is noted.
void check_extent(Run& run, const json& manifest, const std::string& manifest_path, const std::string& path) {
  const json& keys = object_member(object_member(manifest, "config", manifest_path), "run", manifest_path);
  const auto steps = number_member(keys, "steps", manifest_path);
  if (run.points.empty()) return;
  const double first = *run.points.front().cost[0], last = *run.points.back().cost[0];
  if (steps && run.status == "finished" && last != *steps) {
    fail_input(path, fmt::format("a last evaluation at step {}, where the finished run ends", *steps),
               fmt::format("one at step {}", last));
  }
  if (steps && first != 0) {
    run.notes.push_back(
        {std::nullopt, fmt::format("the record begins at step {:g}: what came before is missing", first)});
  }
}

/// Throws (exit 2) naming the file unless the manifest is what was written, and so is the record of a run that has
/// ended. Those of earlier versions do not tell.
void expect_unchanged(const std::string& manifest_text, const std::string& manifest_path, const std::string& record) {
  const auto manifest = parse_json<nlohmann::ordered_json>(manifest_text, manifest_path);  // the seal knows the order
  read_json(manifest_path, "the manifest of a run", [&] {
    if (manifest.contains("xxh64")) expect_seal(manifest, manifest_path, "status");
    if (!manifest.contains("records")) return;
    expect_digest(record, digest_from(manifest.at("records").at("eval.jsonl")), "manifest.json");
  });
}

}  // namespace

std::vector<Run> read_plan(const std::filesystem::path& sweep) {
  const std::string where = (sweep / "sweep.json").string();
  const json plan = parse_object(read_file(where), where);
  std::vector<Run> runs;
  const json* entries = member(plan, "runs");
  if (!entries) return runs;
  if (!entries->is_array()) fail_input(where, "an array for `runs`", entries->type_name());
  for (const json& entry : *entries) {
    if (!entry.is_object()) fail_input(where, "objects in `runs`", entry.type_name());
    if (text_member(entry, "state", where, "") == "left out") continue;
    Run run;
    run.source = sweep / text_member(entry, "folder", where, "");
    read_labels(run, entry, where);
    run.seed = seed_member(entry, where, 0);
    runs.push_back(std::move(run));
  }
  return runs;
}

Run read_run_folder(const std::filesystem::path& folder) {
  Run run;
  run.source = folder.has_filename() ? folder : folder.parent_path();
  if (run.source.filename() == "." || run.source.filename() == "..")
    run.source = std::filesystem::canonical(run.source);
  const std::string manifest_path = (folder / "manifest.json").string();
  run.manifest = read_file(manifest_path);
  const json manifest = parse_object(run.manifest, manifest_path);
  const std::string path = (folder / "eval.jsonl").string();
  expect_unchanged(run.manifest, manifest_path, path);
  read_manifest(run, manifest, manifest_path);
  const auto active = number_member(object_member(manifest, "parameters", manifest_path), "active", manifest_path);

  // A run that has only just begun, or failed at once, has no evaluation: that is no fault of its record.
  const bool may_be_empty = run.status == "running" || run.status == "interrupted" || run.status == "diverged";
  std::error_code problem;  // whatever it is, reading says it better
  const bool absent = std::filesystem::status(path, problem).type() == std::filesystem::file_type::not_found;
  if (!may_be_empty || !absent) read_record(run, path, active);
  if (run.points.empty() && !may_be_empty) fail_input(path, "at least one evaluation", "none");
  check_extent(run, manifest, manifest_path, path);
  order_points(run, path);
  return run;
}

}  // namespace isoloss::ceg
