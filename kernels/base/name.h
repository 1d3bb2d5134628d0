// Names that people give to variants, scales and columns, and that stand in tables, files and messages.
#pragma once

#include <string_view>

namespace isoloss {

/// Throws an input error unless `name`, of the `what` at `where`, has 1 to 200 bytes, all of them printable (error.h).
void check_name(std::string_view name, std::string_view where, std::string_view what);

}  // namespace isoloss
