// Which algorithm each matrix product takes on a GPU, kept from run to run.
//
// The fastest algorithm is found by measuring, and measurements differ from run to run; so would the bits of a run.
// The first measurement therefore decides for good: it is appended to a file, one line a choice, and whoever comes
// later (a resumed run, another process) reads it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace isoloss {

class ProductChoices {
 public:
  /// Reads `file`, which need not exist. Lines that are not whole (a crash, a full disk) are passed over.
  explicit ProductChoices(std::filesystem::path file);

  std::optional<std::string> find(const std::string& key) const;
  /// Keeps `value` for `key`, unless somebody else kept one meanwhile; returns the value that holds from now on, or
  /// nothing where the file cannot be written: then nobody would make the same choice again.
  std::optional<std::string> keep(const std::string& key, const std::string& value);

  const std::filesystem::path& file() const { return file_; }

 private:
  void read();

  std::filesystem::path file_;
  std::map<std::string, std::string> choices_;
};

/// $ISOLOSS_CACHE, else isoloss/ in $XDG_CACHE_HOME or ~/.cache; made if need be.
std::filesystem::path cache_folder();

}  // namespace isoloss
