// The folder that `tokenize --out` names. The old set of files stays there until the new one is whole.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "kernels/base/file_lock.h"

namespace isoloss {

/// A new set is written to staging(), a folder of its own on the same file system, and commit() puts it in the place of
/// the old one. The folder around staging() is locked, so that two programs do not write one set. Whatever stops the
/// program at any moment, OUT holds the old set, the new one, or a set whose meta.json says that it is unfinished,
/// which every program refuses. The last is possible only where a folder cannot be exchanged as a whole: a mount point,
/// the current folder, one that holds other files besides, one in a folder that may not be written, and file systems
/// without RENAME_EXCHANGE (NFS). Files that tokenize did not write stay as they are.
class OutputFolder {
 public:
  /// Makes the staging folder; what a stopped run left there is removed. Another process that is writing the set is a
  /// run error that names it. Input errors: a set that is there already, unless `force`, and shards under other names,
  /// which would be read together with the new ones. `out` may be a
  /// symbolic link; it is kept, and the folder that it leads to is meant.
  OutputFolder(std::filesystem::path out, bool force);
  ~OutputFolder();  ///< removes the staging folder
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  const std::filesystem::path& staging() const { return staging_; }
  void commit();

 private:
  void check_free() const;
  bool can_exchange() const;
  void make_staging();
  bool claim(const std::filesystem::path& work);
  bool put_whole();
  void remove_staging();

  std::filesystem::path named_;  ///< as the user wrote it, for messages
  std::filesystem::path out_;    ///< without symbolic links
  bool force_;
  std::optional<FolderLock> lock_;  ///< of work_
  std::filesystem::path work_;      ///< the folder that is there while tokenize works
  std::filesystem::path staging_;   ///< inside work_; empty once it became OUT
};

/// One change on the way from the old set to the new one, file by file.
struct ReplacementStep {
  enum class Kind { mark_unfinished, remove, move } kind;
  std::filesystem::path path;  ///< what is written, removed or moved
  std::filesystem::path to;    ///< for `move`
};
/// First a meta.json that every program refuses takes the place of the old one, last of all comes the new one.
std::vector<ReplacementStep> replacement_steps(const std::filesystem::path& staging, const std::filesystem::path& out);
void run_step(const ReplacementStep& step);

}  // namespace isoloss
