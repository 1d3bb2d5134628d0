// Run folders below a folder: none is passed over in silence.
#include <algorithm>
#include <set>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "tools/ceg/input/curves.h"

namespace isoloss::ceg {
namespace fs = std::filesystem;
namespace {

bool is_folder(const fs::path& path) {
  std::error_code problem;
  const fs::file_type type = fs::status(path, problem).type();  // of what a link leads to
  if (type == fs::file_type::none) fail_input(path.string(), "a file or folder that can be read", problem.message());
  return type == fs::file_type::directory;
}

class Search {
 public:
  void look_into(const fs::path& folder) {
    std::error_code problem;
    const fs::path real = fs::canonical(folder, problem);
    if (problem) fail_input(folder.string(), "a folder that can be read", problem.message());
    if (!seen_.insert(real).second) return;  // another link to it, or a link to a folder above
    const std::vector<fs::path> entries = entries_of(folder);
    const auto holds = [&](const char* name) {
      return std::find(entries.begin(), entries.end(), folder / name) != entries.end();
    };
    const bool is_run = holds("manifest.json"), is_sweep = holds("sweep.json");
    if (is_run) found_.runs.push_back(folder);
    if (is_sweep) found_.sweeps.push_back(folder);
    if (!is_run && holds("eval.jsonl")) fail_input(folder.string(), "a manifest.json beside eval.jsonl", "none");
    for (const fs::path& entry : entries) {
      if (is_run && entry.filename() == "checkpoints") continue;
      // What a sweep tried on its way to a learning rate is no measurement of the variant.
      if (is_sweep && entry.filename() == "tuning") continue;
      if (is_folder(entry)) look_into(entry);
    }
  }

  FoundFolders take() {
    std::sort(found_.runs.begin(), found_.runs.end());
    return std::move(found_);
  }

 private:
  std::set<fs::path> seen_;
  FoundFolders found_;
};

}  // namespace

FoundFolders find_folders(const fs::path& path) {
  Search search;
  search.look_into(path);
  FoundFolders found = search.take();
  if (found.runs.empty()) fail_input(path.string(), "run folders (with a manifest.json) below it", "none");
  return found;
}

}  // namespace isoloss::ceg
