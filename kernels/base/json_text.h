// The one door by which JSON text comes in: whatever is wrong with it is an input error like any other.
#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"

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

/// The integer that `json` holds; nothing for fractions, for numbers beyond the range of Integer and for other types.
/// nlohmann's get() cuts such numbers to something else without a word.
template <std::integral Integer, class Json>
std::optional<Integer> integer_in(const Json& json) {
  const auto in_range = [](auto value) -> std::optional<Integer> {
    return std::in_range<Integer>(value) ? std::optional(static_cast<Integer>(value)) : std::nullopt;
  };
  if (json.is_number_unsigned()) return in_range(json.template get<std::uint64_t>());
  if (json.is_number_integer()) return in_range(json.template get<std::int64_t>());
  return std::nullopt;
}

/// A member that holds something else than its reader takes; read_json() makes an input error of it.
class UnexpectedMember : public std::runtime_error {
 public:
  UnexpectedMember(std::string key_name, const std::string& got) : std::runtime_error(got), key(std::move(key_name)) {}
  std::string key;
};

/// The integer under `key` of an object, inside read_json().
template <std::integral Integer, class Json>
Integer integer_at(const Json& object, const char* key) {
  const auto& member = object.at(key);
  if (const auto value = integer_in<Integer>(member)) return *value;
  throw UnexpectedMember(key, member.dump(-1, ' ', true, Json::error_handler_t::replace));
}

/// Runs `read`, which takes a value apart with at(), get() and integer_at(). A member that is missing or of another
/// type is an input error: `[where] expected `expected`, got an error: …`.
template <class Read>
auto read_json(std::string_view where, std::string_view expected, Read&& read) {
  try {
    return std::forward<Read>(read)();
  } catch (const UnexpectedMember& error) {
    fail_input(std::string(where) + " " + error.key, "an integer in its range", error.what());
  } catch (const nlohmann::json::exception& error) {
    fail_input(where, expected, std::string("an error: ") + error.what());
  }
}

}  // namespace isoloss
