// The one door by which JSON text comes in: whatever is wrong with it is an input error like any other.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/core/error.h"

namespace isoloss {

/// Arrays and objects inside each other; deeper text is refused, since values are copied, compared and printed by
/// functions that call themselves.
inline constexpr int kDeepestJson = 1000;

/// The value of `text`, all of it. What is no JSON, nests deeper than kDeepestJson or holds a number beyond the range
/// of double is an input error (exit 2): `[where byte N] expected …, got …`, where `expected` is what the reader wants.
/// `filter` sees every value as it is parsed (nlohmann's parser_callback_t) and may drop it or throw.
template <class Json = nlohmann::json>
Json parse_json(std::string_view text, std::string_view where, std::string_view expected = "JSON",
                const typename Json::parser_callback_t& filter = nullptr);

extern template nlohmann::json parse_json(std::string_view, std::string_view, std::string_view,
                                          const nlohmann::json::parser_callback_t&);
extern template nlohmann::ordered_json parse_json(std::string_view, std::string_view, std::string_view,
                                                  const nlohmann::ordered_json::parser_callback_t&);

/// The value of `text`, or nothing where parse_json throws: for lines that another process may be writing.
std::optional<nlohmann::json> try_parse_json(std::string_view text);

/// Runs `read`, which takes a value apart with at() and get(). A member that is missing or of another type is an input
/// error: `[where] expected `expected`, got an error: …`.
template <class Read>
auto read_json(std::string_view where, std::string_view expected, Read&& read) {
  try {
    return std::forward<Read>(read)();
  } catch (const nlohmann::json::exception& error) {
    fail_input(where, expected, std::string("an error: ") + error.what());
  }
}

}  // namespace isoloss
