// The parts of the page, each a piece of complete HTML.
#pragma once

#include <string>
#include <string_view>

#include "tools/ceg/output/report/view.h"

namespace isoloss::ceg::report {

// Tables (tables.cpp)
std::string gain_table(const View& view, CostAxis cost);
std::string composition_table(const View& view, CostAxis cost);
std::string scale_table(const View& view, CostAxis cost);
std::string law_table(const View& view, CostAxis cost);
std::string crossing_table(const View& view, CostAxis cost);
std::string noise_table(const View& view, CostAxis cost);
std::string published_table(const View& view);
std::string run_table(const View& view);

// Words (words.cpp)
std::string summary(const View& view, CostAxis cost);
std::string warning_box(const View& view);
std::string definitions(const View& view);
std::string procedure(const View& view);
std::string limits();
std::string manifests(const View& view);
/// "95 % interval"
std::string interval_name(const View& view);

/// A table in a box that scrolls by itself, so that the page never does. `head` and `body` are rows of HTML.
std::string table_box(std::string_view label, std::string_view head, std::string_view body,
                      std::string_view classes = "");

// Style (style.cpp)
std::string_view style_sheet();
std::string_view script();

}  // namespace isoloss::ceg::report
