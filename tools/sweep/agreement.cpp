#include "tools/sweep/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/run_record.h"
#include "kernels/base/error.h"
#include "tools/common/program.h"

namespace isoloss {

namespace {

struct Made {
  std::string run;
  Manifest manifest;
};

bool same_files(const std::vector<DataFileRecord>& a, const std::vector<DataFileRecord>& b) {
  return std::ranges::equal(a, b, {}, &DataFileRecord::sha256, &DataFileRecord::sha256);
}

/// What differs between the data of two runs, "" when nothing does.
std::string other_data(const Manifest& a, const Manifest& b) {
  if (!same_files(a.train, b.train)) return "data.train";
  if (!same_files(a.val, b.val)) return "data.val";
  return a.tokenizer_sha256 != b.tokenizer_sha256 ? "the tokenizer" : "";
}

}  // namespace

void expect_comparable(const Board& board, bool warnings) {
  // Runs are compared with the first one that names the same data; scales and variants may name their own.
  std::map<std::pair<std::vector<std::string>, std::vector<std::string>>, Made> first_of_data;
  std::map<std::string, Made> builds, devices;
  for (const Task& task : board.tasks()) {
    if (task.candidate || !task.done()) continue;
    const std::string run = board.name(task).generic_string();
    const Manifest manifest = read_manifest(board.folder(task));
    const DataConfig& data = task.run->configuration.run.data;
    const auto& [name, first] = *first_of_data.try_emplace({data.train, data.val}, Made{run, manifest}).first;
    if (const std::string what = other_data(first.manifest, manifest); !what.empty()) {
      fail_input((board.out() / run).string(), fmt::format("{} as {} has read it", what, first.run),
                 "other data under the same names; remove the runs on one of them");
    }
    builds.try_emplace(fmt::format("version {}, commit {}", manifest.version, manifest.commit), Made{run, manifest});
    devices.try_emplace(manifest.device, Made{run, manifest});
  }
  const auto complain = [](const std::map<std::string, Made>& ways, std::string_view verb) {
    if (ways.size() < 2) return;
    const auto &one = *ways.begin(), &other = *std::next(ways.begin());
    warn(fmt::format("{} was made {} {}, {} {} {}: compare them with care", one.second.run, verb, one.first,
                     other.second.run, verb, other.first));
  };
  if (!warnings) return;
  complain(builds, "by");
  complain(devices, "on");
}

}  // namespace isoloss
