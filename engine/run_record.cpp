#include "engine/run_record.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/core/file.h"
#include "kernels/core/json_text.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr const char* kManifest = "manifest.json";
constexpr const char* kLog = "log.jsonl";
constexpr const char* kEvaluations = "eval.jsonl";

/// Shortest text that reads back as the same double; null for what JSON cannot say.
std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

int open_for_appending(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) fail_run(path.string(), "a writable file", std::strerror(errno));
  return descriptor;
}

off_t size_of(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

void append_line(int descriptor, const fs::path& path, const std::string& text) {
  const std::string line = text + "\n";
  const off_t before = size_of(descriptor);
  const ssize_t put = ::write(descriptor, line.data(), line.size());
  if (put == static_cast<ssize_t>(line.size())) return;
  const std::string why = put < 0 ? std::strerror(errno) : "a full disk";
  // Best effort: where even this fails, the next resume cuts the torn line.
  if (put > 0 && ::ftruncate(descriptor, before) != 0) fail_run(path.string(), "room for a line", why + ", line torn");
  fail_run(path.string(), "room for a line", why);
}

/// Cuts the lines past `step` and a torn last line; returns the last line that stays, null without one.
nlohmann::json cut_lines(const fs::path& path, std::int64_t step) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  std::size_t keep = 0;
  nlohmann::json last;
  {
    const MappedFile file(path);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    for (int line = 1; keep < text.size(); ++line) {
      const std::size_t end = text.find('\n', keep);
      if (end == std::string_view::npos) break;
      const std::string where = fmt::format("{}:{}", path.string(), line);
      nlohmann::json json = parse_json(text.substr(keep, end - keep), where, "a JSON object with a step");
      const auto found = json.is_object() ? json.find("step") : json.end();
      if (!json.is_object() || found == json.end() || !found->is_number_integer()) {
        fail_input(where, "a JSON object with a step",
                   std::string(text.substr(keep, std::min<std::size_t>(end - keep, 80))));
      }
      if (found->get<std::int64_t>() > step) break;
      last = std::move(json);
      keep = end + 1;
    }
    if (keep == text.size()) return last;
  }
  if (::truncate(path.c_str(), static_cast<off_t>(keep)) != 0) {
    fail_run(path.string(), "a file that can be cut", std::strerror(errno));
  }
  return last;
}

nlohmann::ordered_json files_json(const std::vector<DataFileRecord>& files) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const DataFileRecord& file : files) {
    list.push_back({{"file", file.file}, {"sha256", file.sha256}, {"tokens", file.tokens}});
  }
  return list;
}

nlohmann::ordered_json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(text);
}

std::string text_or_empty(const nlohmann::ordered_json& json) { return json.is_null() ? "" : json.get<std::string>(); }

std::vector<DataFileRecord> files_from(const nlohmann::ordered_json& list) {
  std::vector<DataFileRecord> files;
  for (const auto& item : list) {
    files.push_back({item.at("file").get<std::string>(), item.at("sha256").get<std::string>(),
                     item.at("tokens").get<std::uint64_t>()});
  }
  return files;
}

}  // namespace

std::string_view name_of(RunStatus status) {
  switch (status) {
    case RunStatus::running:
      return "running";
    case RunStatus::finished:
      return "finished";
    case RunStatus::interrupted:
      return "interrupted";
    case RunStatus::diverged:
      break;
  }
  return "diverged";
}

std::string to_json(const Manifest& manifest) {
  nlohmann::ordered_json json;
  json["format"] = 1;
  json["name"] = manifest.name;
  json["status"] = name_of(manifest.status);
  json["toggles"] = manifest.toggles;
  json["config"] = parse_json<nlohmann::ordered_json>(manifest.config, "config");
  json["parameters"] = {{"total", manifest.parameters_total},
                        {"active", manifest.parameters_active},
                        {"embedding", manifest.parameters_embedding}};
  json["flops_per_token"] = manifest.flops_per_token;
  json["data"] = {{"train", files_json(manifest.train)},
                  {"val", files_json(manifest.val)},
                  {"tokenizer_sha256", text_or_null(manifest.tokenizer_sha256)}};
  json["eval"] = {{"data_sha256", text_or_null(manifest.eval_sha256)},
                  {"tokens", manifest.eval_tokens},
                  {"windows", manifest.eval_windows}};
  json["seed"] = manifest.seed;
  if (!manifest.init_file.empty()) {
    json["init_from"] = {{"file", manifest.init_file}, {"sha256", manifest.init_sha256}};
  }
  json["device"] = manifest.device;
  json["threads"] = manifest.threads;
  json["hardware"] = {{"cpu", text_or_null(manifest.cpu)}, {"gpu", text_or_null(manifest.gpu)}};
  json["version"] = manifest.version;
  json["commit"] = text_or_null(manifest.commit);
  json["compiler"] = manifest.compiler;
  if (!manifest.sweep.empty()) json["sweep"] = parse_json<nlohmann::ordered_json>(manifest.sweep, "sweep");
  return json.dump(2) + "\n";
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifest;
  const auto json = parse_json<nlohmann::ordered_json>(read_file(path), path.string());
  return read_json(path.string(), "the manifest of a run", [&] {
    Manifest manifest;
    if (json.at("format") != 1) fail_input(path.string() + " format", "1", json.at("format").dump());
    manifest.name = json.at("name").get<std::string>();
    const auto status = json.at("status").get<std::string>();
    for (const RunStatus candidate : {RunStatus::finished, RunStatus::interrupted, RunStatus::diverged}) {
      if (name_of(candidate) == status) manifest.status = candidate;
    }
    if (name_of(manifest.status) != status) {
      fail_input(path.string() + " status", "running, finished, interrupted or diverged", status);
    }
    manifest.toggles = json.at("toggles").get<std::vector<std::string>>();
    manifest.config = json.at("config").dump(2);
    manifest.parameters_total = json.at("parameters").at("total").get<std::int64_t>();
    manifest.parameters_active = json.at("parameters").at("active").get<std::int64_t>();
    manifest.parameters_embedding = json.at("parameters").at("embedding").get<std::int64_t>();
    manifest.flops_per_token = json.at("flops_per_token").get<double>();
    manifest.train = files_from(json.at("data").at("train"));
    manifest.val = files_from(json.at("data").at("val"));
    manifest.tokenizer_sha256 = text_or_empty(json.at("data").at("tokenizer_sha256"));
    manifest.eval_sha256 = text_or_empty(json.at("eval").at("data_sha256"));
    manifest.eval_tokens = json.at("eval").at("tokens").get<std::uint64_t>();
    manifest.eval_windows = json.at("eval").at("windows").get<std::uint64_t>();
    manifest.seed = json.at("seed").get<std::uint64_t>();
    if (json.contains("init_from")) {
      manifest.init_file = json.at("init_from").at("file").get<std::string>();
      manifest.init_sha256 = json.at("init_from").at("sha256").get<std::string>();
    }
    manifest.device = json.at("device").get<std::string>();
    manifest.threads = json.at("threads").get<int>();
    manifest.cpu = text_or_empty(json.at("hardware").at("cpu"));
    manifest.gpu = text_or_empty(json.at("hardware").at("gpu"));
    manifest.version = json.at("version").get<std::string>();
    manifest.commit = text_or_empty(json.at("commit"));
    manifest.compiler = json.at("compiler").get<std::string>();
    if (json.contains("sweep")) manifest.sweep = json.at("sweep").dump();
    return manifest;
  });
}

std::string to_json(const LogLine& line) {
  return fmt::format(
      R"({{"step":{},"tokens":{},"flops":{},"seconds":{},"loss":{},"grad_norm":{},"learning_rate":{},"tokens_per_second":{}}})",
      line.step, line.tokens, number(line.flops), number(line.seconds), number(line.loss), number(line.grad_norm),
      number(line.learning_rate), number(line.tokens_per_second));
}

std::string to_json(const EvalLine& line) {
  std::string blocks;
  for (const double loss : line.block_losses) blocks += (blocks.empty() ? "" : ",") + number(loss);
  return fmt::format(R"({{"step":{},"tokens":{},"flops":{},"seconds":{},"joules":{},"val_loss":{},"block_losses":{}}})",
                     line.step, line.tokens, number(line.flops), number(line.seconds),
                     line.joules ? number(*line.joules) : "null", number(line.val_loss),
                     line.block_losses.empty() ? "null" : "[" + blocks + "]");
}

namespace {

/// The part of a run's record that is in `folder`, "" without one.
std::string found_in(const fs::path& folder) {
  for (const char* name : {kManifest, kLog, kEvaluations, "checkpoints", "model.safetensors"}) {
    std::error_code ignored;
    if (fs::exists(folder / name, ignored)) return name;
  }
  return {};
}

}  // namespace

bool holds_run(const fs::path& folder) { return !found_in(folder).empty(); }

RunRecord::RunRecord(fs::path folder, Manifest manifest) : folder_(std::move(folder)), manifest_(std::move(manifest)) {
  write_file_atomically(folder_ / kManifest, to_json(manifest_));
  log_ = open_for_appending(folder_ / kLog);
  evaluations_ = open_for_appending(folder_ / kEvaluations);
  sync_directory(folder_);  // what sync() writes is of no use in files that a power cut leaves without names
}

RunRecord RunRecord::create(const fs::path& folder, const Manifest& manifest) {
  if (const std::string found = found_in(folder); !found.empty()) {
    fail_input(folder.string(), "a folder without a run (or --resume to go on with it)", "one that holds " + found);
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_run(folder.string(), "a folder that can be made", error.message());
  sync_directory(folder.has_parent_path() ? folder.parent_path() : fs::path("."));
  return RunRecord(folder, manifest);
}

RunRecord RunRecord::resume(const fs::path& folder, std::int64_t step) {
  Manifest manifest = read_manifest(folder);
  manifest.status = RunStatus::running;
  cut_lines(folder / kLog, step);
  const nlohmann::json evaluated = cut_lines(folder / kEvaluations, step);
  RunRecord record(folder, std::move(manifest));
  if (!evaluated.is_null()) {
    record.last_.step = evaluated.at("step").get<std::int64_t>();
    const auto loss = evaluated.find("val_loss");
    if (loss != evaluated.end() && loss->is_number()) record.last_.val_loss = loss->get<double>();
  }
  record.sync();
  return record;
}

RunRecord::~RunRecord() {
  if (log_ >= 0) ::close(log_);
  if (evaluations_ >= 0) ::close(evaluations_);
}

RunRecord::RunRecord(RunRecord&& other) noexcept
    : folder_(std::move(other.folder_)),
      manifest_(std::move(other.manifest_)),
      log_(std::exchange(other.log_, -1)),
      evaluations_(std::exchange(other.evaluations_, -1)),
      last_(other.last_) {}

void RunRecord::update(const Manifest& manifest) {
  write_file_atomically(folder_ / kManifest, to_json(manifest));
  manifest_ = manifest;
}

void RunRecord::set_status(RunStatus status) {
  Manifest manifest = manifest_;
  manifest.status = status;
  update(manifest);
}

void RunRecord::append(const LogLine& line) { append_line(log_, folder_ / kLog, to_json(line)); }

void RunRecord::append(const EvalLine& line) {
  append_line(evaluations_, folder_ / kEvaluations, to_json(line));
  last_ = {line.step, line.val_loss};
}

void RunRecord::sync() {
  if (::fsync(log_) != 0) fail_run((folder_ / kLog).string(), "the file on disk", std::strerror(errno));
  if (::fsync(evaluations_) != 0) fail_run((folder_ / kEvaluations).string(), "the file on disk", std::strerror(errno));
}

std::string cpu_name() {
  std::error_code ignored;
  if (!fs::exists("/proc/cpuinfo", ignored)) return {};
  const std::string text = read_file("/proc/cpuinfo");
  const std::size_t key = text.find("model name");
  if (key == std::string::npos) return {};
  const std::size_t colon = text.find(": ", key);
  const std::size_t end = text.find('\n', key);
  return colon < end ? text.substr(colon + 2, end - colon - 2) : std::string();
}

}  // namespace isoloss
