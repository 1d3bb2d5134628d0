#include "tests/architecture/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string_view>

namespace isoloss {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kLongestFile = 500;
constexpr std::string_view kFolders[] = {"kernels", "data", "engine", "models", "tools", "tests"};

/// Plain support without any arithmetic in it; every folder may build on it.
constexpr std::string_view kBase = "kernels/base/";

/// What files under `folder` may include besides their own folder and kBase. The first row that fits decides.
struct Rule {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};
const std::vector<Rule>& rules() {
  static const std::vector<Rule> table = {
      {"kernels/base/", {}},
      {"kernels/core/", {"kernels/ops/ops.inc"}},  // the registry
      {"kernels/cpu/", {"kernels/core/"}},
      {"kernels/cuda/",
       {"kernels/core/", "kernels/simt/"}},  // where nvcc does not compile, simt stands for its headers
      {"kernels/simt/", {"kernels/core/", "kernels/cuda/"}},
      {"kernels/gpu/", {"kernels/core/", "kernels/cpu/", "kernels/cuda/"}},
      {"kernels/", {}},
      {"data/", {}},
      {"engine/", {"kernels/", "data/loader.h", "data/shard.h"}},  // the loader is made of shards
      {"models/",
       {"engine/", "kernels/ops/", "data/meta.h", "data/shard.h"}},  // contracts' enums; the data's vocabulary
      {"tools/ceg/input/", {}},                                      // statistics alone: nothing of the training half
      {"tools/ceg/estimate/", {"tools/ceg/input/"}},
      {"tools/ceg/output/", {"tools/ceg/estimate/", "tools/ceg/input/"}},
      {"tools/ceg/", {"tools/common/"}},
      {"tools/", {"kernels/", "data/", "engine/", "models/"}},
      {"tests/", {"kernels/", "data/", "engine/", "models/", "tools/"}},
  };
  return table;
}

constexpr std::string_view kCudaHeaders[] = {
    "cuda", "cublas", "cudnn", "nccl", "nvtx", "nvToolsExt", "nvrtc", "curand", "cub/", "mma.h", "cooperative_groups"};
constexpr std::string_view kCudaWrappers[] = {"cublaslt", "cudart", "cudnn", "gpu_device", "nccl"};

bool is_cuda_source(const fs::path& file) { return file.extension() == ".cu" || file.extension() == ".cuh"; }

bool is_source(const fs::path& file) {
  constexpr std::string_view endings[] = {".h", ".cpp", ".cu", ".cuh", ".inc", ".py", ".sh"};
  return std::ranges::find(endings, file.extension().string()) != std::end(endings);
}

struct Include {
  std::string name;
  bool quoted;  ///< "name", which is a file of ours; else <name>
};

/// What stands between the quotes or angle brackets of an #include line.
std::optional<Include> include_in(std::string_view line) {
  const auto skip_blanks = [&line] { line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size())); };
  skip_blanks();
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(1);
  skip_blanks();
  if (!line.starts_with("include")) return std::nullopt;
  line.remove_prefix(7);
  skip_blanks();
  if (line.empty() || (line.front() != '"' && line.front() != '<')) return std::nullopt;
  const bool quoted = line.front() == '"';
  const auto end = line.find(quoted ? '"' : '>', 1);
  if (end == std::string_view::npos) return std::nullopt;
  return Include{std::string(line.substr(1, end - 1)), quoted};
}

/// Path of the included file from the root when it is one of ours, else nothing.
std::optional<std::string> project_path(const std::string& name, const fs::path& file, const fs::path& root) {
  const auto inside = [](const fs::path& path) {
    return !path.empty() && std::ranges::find(kFolders, path.begin()->string()) != std::end(kFolders);
  };
  const fs::path beside = (file.parent_path() / name).lexically_relative(root).lexically_normal();
  if (fs::exists(root / beside) && inside(beside)) return beside.generic_string();
  const fs::path from_root = fs::path(name).lexically_normal();
  return inside(from_root) ? std::optional(from_root.generic_string()) : std::nullopt;
}

bool allowed(const std::string& from, const std::string& to) {
  if (to.starts_with(kBase)) return true;
  for (const Rule& rule : rules()) {
    if (!from.starts_with(rule.folder)) continue;
    return to.starts_with(rule.folder) ||
           std::ranges::any_of(rule.may_include, [&](std::string_view prefix) { return to.starts_with(prefix); });
  }
  return true;
}

void check_include(const fs::path& file, const std::string& from, std::size_t line, const Include& include,
                   const fs::path& root, std::vector<std::string>& broken) {
  const std::string& name = include.name;
  const auto to = project_path(name, file, root);
  if (to && !allowed(from, *to)) {
    broken.push_back(fmt::format("{}:{}: may not include {}", from, line, *to));
    return;
  }
  // What this table cannot find it cannot judge: an include path of some target would open a door beside it.
  if (include.quoted && !(to && fs::exists(root / *to))) {
    broken.push_back(fmt::format("{}:{}: {} is neither beside this file nor a path from the root", from, line, name));
    return;
  }
  if (to) return;
  const bool cuda =
      std::ranges::any_of(kCudaHeaders, [&](std::string_view prefix) { return name.starts_with(prefix); });
  const std::string stem = file.filename().string().substr(0, file.filename().string().find('.'));
  const bool wrapper = std::ranges::find(kCudaWrappers, stem) != std::end(kCudaWrappers);
  if (cuda && !is_cuda_source(file) && !wrapper) {
    broken.push_back(fmt::format("{}:{}: {} belongs in a .cu or .cuh file or a library wrapper", from, line, name));
  }
}

void check_file(const fs::path& file, const fs::path& root, std::vector<std::string>& broken) {
  const std::string from = file.lexically_relative(root).generic_string();
  std::ifstream text(file);
  std::size_t lines = 0;
  for (std::string line; std::getline(text, line);) {
    ++lines;
    if (const auto include = include_in(line)) check_include(file, from, lines, *include, root, broken);
  }
  if (lines > kLongestFile) broken.push_back(fmt::format("{}:{}: longer than {} lines", from, lines, kLongestFile));
}

}  // namespace

std::vector<std::string> broken_rules(const fs::path& root) {
  std::vector<std::string> broken;
  for (const std::string_view folder : kFolders) {
    if (!fs::exists(root / folder)) continue;
    if (!fs::exists(root / folder / "README.md")) broken.push_back(fmt::format("{}/README.md:1: is missing", folder));
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.is_regular_file() && is_source(entry.path())) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    for (const fs::path& file : files) check_file(file, root, broken);
  }
  return broken;
}

}  // namespace isoloss
