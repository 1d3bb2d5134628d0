// The bugs of bugs.inc as data.
#pragma once

#include <string_view>

namespace isoloss::planted {

struct Bug {
  std::string_view name, program, cases, file, from, to;
};

inline constexpr Bug kBugs[] = {
#define BUG(name, program, cases, file, from, to) {#name, #program, cases, file, from, to},
#include "tests/planted/bugs.inc"
#undef BUG
};

}  // namespace isoloss::planted
