#include "tools/train/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/parallel.h"
#include "models/transformer.h"
#include "tools/common/version.h"

namespace isoloss {

namespace {
namespace fs = std::filesystem;

std::vector<DataFileRecord> files_of(const TokenDataset& data) {
  const std::vector<std::string> hashes = data.file_sha256();
  std::vector<DataFileRecord> files;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    const TokenShard& shard = data.shards()[i];
    files.push_back({shard.path().filename().string(), hashes[i], shard.size()});
  }
  return files;
}

/// The first file of `before` that is another one now, as the end of an error; "" when none is.
std::string changed_file(const std::vector<DataFileRecord>& before, const std::vector<DataFileRecord>& now) {
  const auto text = [](const std::vector<DataFileRecord>& files, std::size_t at) {
    return at < files.size() ? fmt::format("{} of SHA-256 {}", files[at].file, files[at].sha256) : "no more files";
  };
  for (std::size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    if (text(before, i) != text(now, i))
      return fmt::format("{} was {} and is {}", i + 1, text(before, i), text(now, i));
  }
  return {};
}
}  // namespace

Manifest describe_run(const Configuration& configuration, const std::string& config_json, const TrainingPlan& plan,
                      const TokenDataset& train, const TokenDataset& val, const EvalWindows& validation,
                      const RunIdentity& identity) {
  Manifest manifest;
  manifest.name = identity.name;
  manifest.config = config_json;
  manifest.toggles = toggles_in_words(configuration.model);
  manifest.parameters_total = plan.store.trained();
  manifest.parameters_active = active_parameters(plan.store);
  manifest.parameters_embedding = embedding_parameters(plan.store);
  manifest.flops_per_token = plan.step_cost().flops / static_cast<double>(configuration.run.run.batch_tokens);
  manifest.train = files_of(train);
  manifest.val = files_of(val);
  manifest.tokenizer_sha256 = identity.tokenizer_sha256;
  manifest.eval_sha256 = validation.sha256();
  manifest.eval_tokens = validation.tokens();
  manifest.eval_windows = validation.windows();
  manifest.seed = configuration.run.run.seed;
  if (!identity.init_from.empty()) {
    manifest.init_file = fs::path(identity.init_from).filename().string();
    manifest.init_sha256 = sha256_of_file(identity.init_from);
  }
  manifest.device = identity.device;
  manifest.threads = threads();
  manifest.cpu = cpu_name();
  manifest.gpu = identity.gpu;
  manifest.version = build_version();
  manifest.commit = build_commit();
  manifest.compiler = __VERSION__;
  if (!identity.sweep_label.empty()) {
    if (!parse_json(identity.sweep_label, "--sweep-label", "a JSON object").is_object()) {
      fail_input("--sweep-label", "a JSON object", identity.sweep_label);
    }
    manifest.sweep = identity.sweep_label;
  }
  return manifest;
}

void expect_same_data(const Manifest& before, const Manifest& now, const std::string& where) {
  const auto expect_same = [&](const char* what, const std::string& changed) {
    if (!changed.empty()) {
      fail_input(where, "the data that the run was started with", fmt::format("other data: {} {}", what, changed));
    }
  };
  if (before.tokenizer_sha256 != now.tokenizer_sha256) {
    const auto text = [](const std::string& hash) { return hash.empty() ? "unknown" : "of SHA-256 " + hash; };
    expect_same("the tokenizer",
                fmt::format("was {} and is {}", text(before.tokenizer_sha256), text(now.tokenizer_sha256)));
  }
  expect_same("data.train, file", changed_file(before.train, now.train));
  expect_same("data.val, file", changed_file(before.val, now.val));
}

void expect_same_start(const Manifest& before, const Manifest& now, const std::string& where) {
  if (before.init_sha256 == now.init_sha256) return;
  const auto text = [](const Manifest& manifest) {
    return manifest.init_file.empty() ? "none" : manifest.init_file + " of SHA-256 " + manifest.init_sha256;
  };
  fail_input(where, "the --init-from of the run that was stopped here before its first checkpoint, " + text(before),
             text(now));
}

std::string first_difference(const std::string& before, const std::string& now) {
  const auto old_config = parse_json(before, "config"), new_config = parse_json(now, "config");
  const auto changes = nlohmann::json::diff(old_config, new_config);
  if (changes.empty()) return "no difference";
  const auto pointer = nlohmann::json::json_pointer(changes.front().at("path").get<std::string>());
  const auto text = [&](const nlohmann::json& config) {
    return config.contains(pointer) ? config.at(pointer).dump() : "nothing";
  };
  return fmt::format("{} was {} and is {}", pointer.to_string(), text(old_config), text(new_config));
}

}  // namespace isoloss
