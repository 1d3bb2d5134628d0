#include "tools/tokenize/output_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "data/meta.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "tools/common/program.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {
constexpr std::string_view kMeta = "meta.json", kTokenizer = "tokenizer.json", kTemporary = ".tmp";
constexpr const char* kInside = ".new";  // the name of the folder around the staging folder where it stands in OUT
constexpr const char* kSet = "set";      // the staging folder in it

/// Whether programs that look for `train_*.bin` and `val_*.bin` find it.
bool is_shard_like(std::string_view name) {
  return (name.starts_with("train_") || name.starts_with("val_")) && name.ends_with(".bin");
}

/// train_000000.bin and so on, as ShardSet names its files.
bool is_shard(std::string_view name) {
  constexpr std::size_t shortest = 6;
  if (!is_shard_like(name)) return false;
  const std::size_t begin = name.find('_') + 1;
  const std::string_view number = name.substr(begin, name.size() - begin - std::string_view(".bin").size());
  return number.size() >= shortest && std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
}

/// Of a set, or what a killed program left of one.
bool is_ours(const fs::path& path) {
  const std::string file = path.filename().string();
  std::string_view name = file;
  if (name.ends_with(kTemporary)) name.remove_suffix(kTemporary.size());
  return is_shard(name) || name == kMeta || name == kTokenizer;
}

void remove_path(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) fail_run(path.string(), "a file that can be removed", error.message());
}

void move_path(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail_run(to.string(), "a file that can be replaced", error.message());
}

/// Without symbolic links; the folders around it exist.
fs::path resolved(const fs::path& out) {
  std::error_code error;
  if (fs::is_symlink(out, error) && !fs::exists(out, error)) {
    fail_run(out.string(), "a folder", "a symbolic link to nothing");
  }
  if (fs::exists(out, error) && !fs::is_directory(out, error)) fail_run(out.string(), "a folder", "a file");
  fs::path path = fs::weakly_canonical(fs::absolute(out), error);
  if (!error && !path.has_filename() && path.has_relative_path()) path = path.parent_path();  // "out/"
  if (!error) fs::create_directories(path.parent_path(), error);
  if (error) fail_run(out.string(), "a folder that can be made", error.message());
  return path;
}

bool is_mount_point(const fs::path& folder) {
  struct statx status {};
  if (::statx(AT_FDCWD, folder.c_str(), 0, STATX_BASIC_STATS, &status) == 0 &&
      (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    return true;
  }
  struct stat inside {
  }, around{};  // kernels before 5.8 know no such attribute
  return ::stat(folder.c_str(), &inside) == 0 && ::stat(folder.parent_path().c_str(), &around) == 0 &&
         inside.st_dev != around.st_dev;
}

bool is_current_folder(const fs::path& folder) {
  std::error_code error;
  const fs::path current = fs::current_path(error);
  return !error && std::mismatch(folder.begin(), folder.end(), current.begin(), current.end()).first == folder.end();
}

}  // namespace

std::vector<ReplacementStep> replacement_steps(const fs::path& staging, const fs::path& out) {
  using Kind = ReplacementStep::Kind;
  std::vector<ReplacementStep> steps = {{Kind::mark_unfinished, out / kMeta, {}}};
  for (const fs::path& entry : entries_of(out)) {
    if (is_ours(entry) && entry.filename() != kMeta) steps.push_back({Kind::remove, entry, {}});
  }
  for (const fs::path& entry : entries_of(staging)) {
    if (entry.filename() != kMeta) steps.push_back({Kind::move, entry, out / entry.filename()});
  }
  steps.push_back({Kind::move, staging / kMeta, out / kMeta});
  return steps;
}

void run_step(const ReplacementStep& step) {
  switch (step.kind) {
    case ReplacementStep::Kind::mark_unfinished:
      write_file_atomically(step.path, unfinished_meta_json());
      return;
    case ReplacementStep::Kind::remove:
      remove_path(step.path);
      return;
    case ReplacementStep::Kind::move:
      // The new meta.json must not survive a power cut that the files before it do not.
      if (step.to.filename() == kMeta) sync_directory(step.to.parent_path());
      move_path(step.path, step.to);
      return;
  }
}

OutputFolder::OutputFolder(fs::path out, bool force) : named_(std::move(out)), out_(resolved(named_)), force_(force) {
  check_free();
  make_staging();
}

OutputFolder::~OutputFolder() {
  try {
    remove_staging();
  } catch (const Error& error) {
    warn(error.what());
  }
}

void OutputFolder::check_free() const {
  if (!fs::exists(out_)) return;
  for (const fs::path& entry : entries_of(out_)) {
    const std::string name = entry.filename().string();
    if (is_shard_like(name) && !is_shard(name)) {
      fail_input(named_.string(), "a folder without shards of other origin", name);
    }
    if (!force_ && is_ours(entry)) fail_input(named_.string(), "a folder without token shards, or --force", name);
  }
}

bool OutputFolder::can_exchange() const {
  if (!fs::exists(out_)) return true;
  const auto entries = entries_of(out_);
  return std::ranges::all_of(entries, is_ours) && !is_mount_point(out_) && !is_current_folder(out_);
}

void OutputFolder::make_staging() {
  const fs::path beside = out_.parent_path() / fmt::format(".{}.new", out_.filename().string());
  const fs::path inside = out_ / kInside;
  for (const fs::path& left : {beside, inside}) {
    std::error_code ignored;
    if (!fs::is_directory(fs::symlink_status(left, ignored)) || !claim(left)) continue;
    say(fmt::format("removing {}, which a stopped tokenize left", left.string()));
    remove_staging();
  }
  if (can_exchange() && claim(beside)) return;
  std::error_code error;
  fs::create_directory(out_, error);
  if (error || !claim(inside)) {
    fail_run(named_.string(), "a folder that can be written", error ? error.message() : std::strerror(errno));
  }
}

/// Makes the folder unless it is there, takes its lock, and makes the staging folder in it. False, with errno, where
/// that is not allowed.
bool OutputFolder::claim(const fs::path& work) {
  if (::mkdir(work.c_str(), 0777) != 0 && errno != EEXIST) return false;
  LockOptions options;
  options.warn = warn;
  lock_.emplace(work, options);
  lock_->take_folder();
  work_ = work;
  staging_ = work / kSet;
  if (::mkdir(staging_.c_str(), 0777) == 0 || errno == EEXIST) return true;
  fail_run(staging_.string(), "a folder that can be made", std::strerror(errno));
}

void OutputFolder::commit() {
  check_free();
  sync_directory(staging_);
  if (!put_whole()) {
    for (const ReplacementStep& step : replacement_steps(staging_, out_)) run_step(step);
    sync_directory(out_);
  }
  remove_staging();
}

/// False when the folder cannot be exchanged as a whole; nothing has changed then.
bool OutputFolder::put_whole() {
  if (work_.parent_path() == out_ || !can_exchange()) return false;
  std::error_code error;
  const bool is_new = !fs::exists(out_);
  if (is_new) {
    fs::rename(staging_, out_, error);
    if (error) fail_run(named_.string(), "a folder that can be made", error.message());
    staging_.clear();
  } else {
    fs::permissions(staging_, fs::status(out_).permissions(), error);  // best effort: the files are what counts
    if (::renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, out_.c_str(), RENAME_EXCHANGE) != 0) return false;
  }
  sync_directory(out_.parent_path());
  return true;
}

/// Of files of other origin that came into OUT at the very moment of the exchange none is lost.
void OutputFolder::remove_staging() {
  if (const fs::path staging = std::exchange(staging_, {}); !staging.empty()) {
    for (const fs::path& entry : entries_of(staging)) {
      if (is_ours(entry)) {
        remove_path(entry);
      } else if (fs::exists(out_) && !fs::exists(out_ / entry.filename())) {
        move_path(entry, out_ / entry.filename());
      }
    }
    remove_path(staging);
  }
  lock_.reset();  // its folder goes with it
}

}  // namespace isoloss
