// The house rules that a compiler does not see: who may include whom, where CUDA headers may stand, how long a file may
// be, and that every folder explains itself.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace isoloss {

/// Walks the sources below `root` and returns one line per broken rule, `file:line: what is wrong`, in order of path;
/// empty when all is well.
std::vector<std::string> broken_rules(const std::filesystem::path& root);

}  // namespace isoloss
