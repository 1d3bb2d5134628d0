// Code that the documentation quotes, held against the files it comes from.
//
// A fenced block under a line "From `FILE`:" quotes FILE (a path from the root of the repository): its lines, blanks at
// both ends apart, stand in that file in this order. "…" stands for lines that are left out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace isoloss {

/// Every quoted line that is not in its file, as "DOCUMENT:LINE: FILE has no …", over all Markdown files below `root`
/// but those in hidden folders and build folders.
std::vector<std::string> stale_quotes(const std::filesystem::path& root);

/// Blocks that quote, over the same files.
int count_quotes(const std::filesystem::path& root);

}  // namespace isoloss
