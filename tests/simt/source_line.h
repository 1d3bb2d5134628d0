#pragma once

#include <string>

namespace simt {

/// Where an address in the code of this program comes from: "classifier.cu:57, inlined from reduce.cuh:66, in
/// row_loss<float, 4>". By addr2line of binutils, which come with every g++; without it, or without debug information,
/// the address.
std::string source_line(const void* code);

}  // namespace simt
