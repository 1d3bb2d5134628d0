// What a file holds, told by its first bytes, whatever its name says.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace isoloss {

/// How many first bytes are looked at.
inline constexpr std::size_t kHeadBytes = std::size_t{1} << 16;
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

enum class Compression { none, gzip, zstd, xz };
Compression compression_of(std::string_view head);

/// The format that has `head` at its beginning, as in "a gzip file"; empty where none is known.
std::string_view known_format(std::string_view head);

/// As known_format(), and UTF-16 and UTF-32, each with the way to text where there is one; empty where `head` may be
/// text in UTF-8 or another encoding without NUL bytes.
std::string not_text(std::string_view head);

/// Place of the first byte that is not UTF-8 where most characters beyond ASCII are not; head.size() elsewhere.
std::size_t other_encoding(std::string_view head);

}  // namespace isoloss
