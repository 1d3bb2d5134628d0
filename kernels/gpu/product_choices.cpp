#include "kernels/gpu/product_choices.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <system_error>

namespace isoloss {

namespace fs = std::filesystem;

namespace {

// A line is: key, tab, value, tab, "."; keys and values hold neither tabs nor line ends.
constexpr char kTab = '\t';
constexpr const char* kEnd = "\t.";

}  // namespace

ProductChoices::ProductChoices(fs::path file) : file_(std::move(file)) { read(); }

void ProductChoices::read() {
  std::ifstream in(file_);
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(kTab), second = line.find(kTab, first + 1);
    if (first == std::string::npos || second == std::string::npos || line.substr(second) != kEnd) continue;
    choices_.emplace(line.substr(0, first), line.substr(first + 1, second - first - 1));  // the first one holds
  }
}

std::optional<std::string> ProductChoices::find(const std::string& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> ProductChoices::keep(const std::string& key, const std::string& value) {
  // One write to the end of the file: lines of several processes do not mix. A line break first ends whatever a
  // crash left unfinished.
  const std::string line = "\n" + key + kTab + value + kEnd + "\n";
  const int file = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return std::nullopt;
  const bool written = ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const bool kept = ::close(file) == 0 && written;
  if (!kept) return std::nullopt;
  read();
  return find(key);
}

fs::path cache_folder() {
  const auto variable = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value == nullptr ? fs::path() : fs::path(value);
  };
  fs::path folder = variable("ISOLOSS_CACHE");
  if (folder.empty()) {
    folder = variable("XDG_CACHE_HOME");
    folder = (folder.empty() ? variable("HOME") / ".cache" : folder) / "isoloss";
  }
  std::error_code ignored;  // where it cannot be made, files in it cannot be written, which is asked then
  fs::create_directories(folder, ignored);
  return folder;
}

}  // namespace isoloss
