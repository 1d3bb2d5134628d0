// One line of JSON Lines, as programs in the world write it. JSON libraries refuse what Python's `json.dumps` writes
// every day (NaN, Infinity, half a surrogate pair) and turn every number into a double; here only the one field counts.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace isoloss {

/// Why a line gives no document, in the words of an error line.
struct BadJsonLine {
  std::string expected, got;
  std::size_t byte = 0;     ///< its number in the line, from 1; 0 where the line as a whole is meant
  bool ends_early = false;  ///< every byte that is there is right, but more would have to follow
};

/// The text of the string `field` in the JSON object that is `line`; of a field that stands there twice the last one. A
/// surrogate without its partner becomes U+FFFD. What other fields hold does not matter, as long as their brackets,
/// quotes and numbers are JSON's or NaN, Infinity and -Infinity; a number beyond double is refused. Throws BadJsonLine.
std::string text_of_json_line(std::string_view line, std::string_view field);

/// Whether `head`, the beginning of a file, begins with a JSON object on one line, as JSON Lines do. The line may be
/// cut off where `head` ends.
bool begins_with_json_line(std::string_view head);

}  // namespace isoloss
