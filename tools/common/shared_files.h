// Files that come with the programs. They lie in share/isoloss beside the programs' folder, in the order of the source
// tree: tools/install.cmake puts them there, and gives the build folder links to the sources.
#pragma once

#include <filesystem>
#include <string_view>

namespace isoloss {

/// The path of the running program, links resolved.
std::filesystem::path own_path();
/// The path of a file or folder such as `models/suites`, links resolved as far as it exists.
std::filesystem::path shared_file(std::string_view name);

}  // namespace isoloss
