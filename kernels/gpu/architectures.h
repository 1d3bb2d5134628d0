// For which GPUs a build has code.
#pragma once

#include <string>
#include <string_view>

namespace isoloss {

/// Whether code for one of `architectures` runs on a GPU of compute capability major.minor. They are as CMake spells
/// them, separated by blanks: "80-real" is machine code for 8.0 and the later 8.x, "80-virtual" is PTX that the driver
/// compiles for everything from 8.0 on, "80" is both, and "90a" (with or without an ending) runs on 9.0 alone.
bool has_code_for(std::string_view architectures, int major, int minor);

/// "expected …, got …" where the GPU cannot be used, "" where it can.
std::string why_not_usable(std::string_view architectures, int major, int minor);

}  // namespace isoloss
