// What a file of ids without a header holds: nothing in it says so, its bytes tell.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace isoloss {

/// What `bytes` seem to hold in the place of little-endian uint16 ids, as in "32-bit big-endian ids": ids of 1, 4 or 8
/// bytes, big-endian ones, whole numbers as floats. Empty where nothing speaks against uint16, and where there is too
/// little to tell. Real ids leave most checks at one of the first places, so a large file costs nothing.
///
/// Left for the vocabulary to find (ids beyond it): big-endian uint16 of more than 8,192 ids, and one-byte ids in files
/// of less than 8 KiB or evenly spread over nearly all bytes.
std::string other_than_uint16(std::string_view bytes);

/// What explains that not all of `ids`, read without a header, are below `vocabulary`; empty where nothing does.
std::string explain_large_ids(std::span<const std::uint16_t> ids, std::uint64_t vocabulary);

}  // namespace isoloss
