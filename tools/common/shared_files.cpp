#include "tools/common/shared_files.h"

#include <system_error>

namespace isoloss {

namespace fs = std::filesystem;

fs::path own_path() { return fs::read_symlink("/proc/self/exe"); }

fs::path shared_file(std::string_view name) {
  std::error_code ignored;
  return fs::weakly_canonical(own_path().parent_path().parent_path() / "share/isoloss" / name, ignored);
}

}  // namespace isoloss
