// What a build is: its version, its commit, its devices and the processor's features that its code uses.
#pragma once

#include <string>
#include <string_view>

namespace isoloss {

const char* build_version();  ///< "0.1.0"
const char* build_commit();   ///< twelve digits; "" where the sources came without their history

/// What `--version` of `program` prints, four lines without the last line's end: name and version, commit, devices,
/// processor. Features have the names of /proc/cpuinfo, so that the two can be compared.
std::string version_text(std::string_view program);

}  // namespace isoloss
