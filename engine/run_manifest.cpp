#include "engine/run_manifest.h"

#include <fmt/format.h>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/sealed_json.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr const char* kManifestFile = "manifest.json";
constexpr const char* kStatus = "status";  ///< changes while the run goes on, so it is under no checksum

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
                     integer_at<std::uint64_t>(item, "tokens")});
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
  json[kStatus] = name_of(manifest.status);
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
  if (manifest.weights) json["weights"] = to_json(*manifest.weights);
  if (manifest.records) json["records"] = to_json(*manifest.records);
  seal(json, kStatus);
  return json.dump(2) + "\n";
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  const auto json = parse_json<nlohmann::ordered_json>(read_file(path), path.string());
  return read_json(path.string(), "the manifest of a run", [&] {
    Manifest manifest;
    if (json.at("format") != 1) fail_input(path.string() + " format", "1", json.at("format").dump());
    if (json.contains("xxh64")) expect_seal(json, path, kStatus);
    manifest.name = json.at("name").get<std::string>();
    const auto status = json.at(kStatus).get<std::string>();
    for (const RunStatus candidate : {RunStatus::finished, RunStatus::interrupted, RunStatus::diverged}) {
      if (name_of(candidate) == status) manifest.status = candidate;
    }
    if (name_of(manifest.status) != status) {
      fail_input(path.string() + " status", "running, finished, interrupted or diverged", status);
    }
    manifest.toggles = json.at("toggles").get<std::vector<std::string>>();
    manifest.config = json.at("config").dump(2);
    manifest.parameters_total = integer_at<std::int64_t>(json.at("parameters"), "total");
    manifest.parameters_active = integer_at<std::int64_t>(json.at("parameters"), "active");
    manifest.parameters_embedding = integer_at<std::int64_t>(json.at("parameters"), "embedding");
    manifest.flops_per_token = json.at("flops_per_token").get<double>();
    manifest.train = files_from(json.at("data").at("train"));
    manifest.val = files_from(json.at("data").at("val"));
    manifest.tokenizer_sha256 = text_or_empty(json.at("data").at("tokenizer_sha256"));
    manifest.eval_sha256 = text_or_empty(json.at("eval").at("data_sha256"));
    manifest.eval_tokens = integer_at<std::uint64_t>(json.at("eval"), "tokens");
    manifest.eval_windows = integer_at<std::uint64_t>(json.at("eval"), "windows");
    manifest.seed = integer_at<std::uint64_t>(json, "seed");
    if (json.contains("init_from")) {
      manifest.init_file = json.at("init_from").at("file").get<std::string>();
      manifest.init_sha256 = json.at("init_from").at("sha256").get<std::string>();
    }
    manifest.device = json.at("device").get<std::string>();
    manifest.threads = integer_at<int>(json, "threads");
    manifest.cpu = text_or_empty(json.at("hardware").at("cpu"));
    manifest.gpu = text_or_empty(json.at("hardware").at("gpu"));
    manifest.version = json.at("version").get<std::string>();
    manifest.commit = text_or_empty(json.at("commit"));
    manifest.compiler = json.at("compiler").get<std::string>();
    if (json.contains("sweep")) manifest.sweep = json.at("sweep").dump();
    if (json.contains("weights")) manifest.weights = digest_from(json.at("weights"));
    if (json.contains("records")) manifest.records = record_lines_from(json.at("records"));
    return manifest;
  });
}

std::string identity_of(const Manifest& manifest) {
  const auto all = parse_json<nlohmann::ordered_json>(to_json(manifest), "manifest");
  nlohmann::ordered_json what;
  for (const char* key : {"config", "parameters", "flops_per_token", "data", "eval", "seed", "init_from"}) {
    if (all.contains(key)) what[key] = all.at(key);
  }
  return xxh64_of(what.dump());
}

void write_manifest(const fs::path& folder, const Manifest& manifest) {
  write_file_atomically(folder / kManifestFile, to_json(manifest));
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
