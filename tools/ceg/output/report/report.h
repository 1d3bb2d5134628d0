// The report: one HTML page that needs nothing beside it.
#pragma once

#include <filesystem>
#include <string>

#include "tools/ceg/estimate/analysis.h"

namespace isoloss::ceg {

/// The whole page: style, script and drawings inline, no network. Equal input gives equal bytes.
std::string report_page(const Analysis& analysis);

/// Writes `directory`/index.html, making the folder where it is missing; the old page or the new one is there, never
/// half of one. Throws (exit 1) naming the path when the disk refuses.
void write_report(const Analysis& analysis, const std::filesystem::path& directory);

}  // namespace isoloss::ceg
