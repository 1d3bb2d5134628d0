#include "data/json_line.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/base/philox.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
/// The text, or "expected …, got …".
std::string text_or_reason(std::string_view line, std::string_view field = "text") {
  try {
    return text_of_json_line(line, field);
  } catch (const BadJsonLine& bad) {
    return "byte " + std::to_string(bad.byte) + ": expected " + bad.expected + ", got " + bad.got;
  }
}

/// What a JSON library makes of the line; nothing where it refuses it or the field is no string.
std::optional<std::string> by_library(const std::string& line) {
  try {
    const auto object = nlohmann::json::parse(line);
    if (object.is_object() && object.contains("text") && object["text"].is_string()) {
      return object["text"].get<std::string>();
    }
  } catch (const nlohmann::json::exception&) {
  }
  return std::nullopt;
}
}  // namespace

TEST_CASE("what json.dumps of Python writes is read: halves of surrogate pairs, NaN, Infinity") {
  CHECK(text_or_reason(R"({"text": "cut off \ud83d"})") == "cut off \xef\xbf\xbd");
  CHECK(text_or_reason(R"({"text": "\ude42\ud83d\ud83d\ude42\ud83dx\ud83d\n"})") ==
        "\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x99\x82\xef\xbf\xbdx\xef\xbf\xbd\n");
  CHECK(text_or_reason(R"({"a": NaN, "b": [Infinity, -Infinity, {"c": NaN}], "text": "t", "d": NaN})") == "t");
  CHECK(text_or_reason(R"({"\ud800": 1, "text": "t"})") == "t");
  CHECK(text_or_reason(R"({"text": "\u00e4\u20ac\u0041\u0000\"\\\/\b\f\n\r\t"})") ==
        std::string("\xc3\xa4\xe2\x82\xac\x41\0\"\\/\b\f\n\r\t", 15));
  CHECK(text_or_reason("{\"other\": \"\xff\xfe\", \"text\": \"t\"}") == "t");
}

TEST_CASE("the last of two fields of one name counts, names are compared when they are decoded") {
  CHECK(text_or_reason(R"({"text": "a", "text": "b"})") == "b");
  CHECK(text_or_reason(R"({"t\u0065xt": "a", "in": {"text": "no"}})") == "a");
  CHECK(contains(text_or_reason(R"({"text": "a", "text": 5})"), "got number"));
}

TEST_CASE("a line that gives no text is named for what it is") {
  const std::pair<const char*, const char*> lines[] = {
      {R"({"text": null})", "byte 0: expected text in the field 'text', got null"},
      {R"({"text": NaN})", "got NaN"},
      {R"({"text": ["a"]})", "got array"},
      {R"({"text": {"a": 1}})", "got object"},
      {R"({"text": true})", "got boolean"},
      {R"({"body": "a"})", "expected a field 'text' (see --field), got none"},
      {"{}", "expected a field 'text' (see --field), got none"},
      {R"([{"text": "a"}])", "got an array; jq"},
      {R"("text")", "got string"},
      {"{", "goes on in the next; jq -c ."},
      {R"({"text": "a")", "byte 13: expected a JSON object on one line, got a syntax error, where the line ends"},
      {R"({"text": "a"} x)", "byte 15: expected a JSON object on one line, got a syntax error"},
      {R"({"text": "a",})", "byte 14: expected a JSON object on one line, got a syntax error"},
      {R"({"text" "a"})", "byte 9: expected a JSON object on one line, got a syntax error"},
      {R"({text: "a"})", "byte 2: expected a JSON object on one line, got a syntax error"},
      {R"({"text": "a", "b": 01})", "a syntax error"},
      {R"({"text": "a", "b": 1.})", "a syntax error"},
      {R"({"text": "a", "b": -})", "a syntax error"},
      {R"({"text": "a", "b": nul})", "a syntax error"},
      {R"({"text": "a", "b": [1 2]})", "a syntax error"},
      {R"({"text": "a", "b": [1,]})", "a syntax error"},
      {R"({"text": "a", "b": [}})", "a syntax error"},
      {R"({"text": "a", "b": {"c"}})", "a syntax error"},
      {R"({"text": "\x41"})", "byte 12: expected a JSON object on one line, got a syntax error"},
      {R"({"text": "\u12g4"})", "a syntax error"},
      {"{\"text\": \"a\tb\"}", "byte 12: expected a JSON object on one line, got a syntax error"},
      {"{\"text\": \"a\xff\"}", "byte 12: expected UTF-8, got another encoding"},
      {R"({"text": "a", "b": 1e999})",
       "byte 24: expected a JSON object on one line, got 1e999, a number beyond the range of double"},
      {R"({"b": [-2e308], "text": "a"})", "got -2e308, a number beyond"},
  };
  for (const auto& [line, reason] : lines) {
    CAPTURE(line);
    CHECK(contains(text_or_reason(line), reason));
  }
  CHECK(text_or_reason(R"({"b": [1e308, 1e-999, 123456789012345678901234567890], "text": "a"})") == "a");
  CHECK(contains(text_or_reason(std::string(100'000, '[')), "an array"));
  CHECK(contains(text_or_reason("{\"a\":" + std::string(100'000, '[')), "where the line ends"));
}

TEST_CASE("every line that a JSON library reads is read alike, also when it was damaged first") {
  const std::string lines[] = {
      R"({"id": {"text": [1, -2.5e3, 0.1]}, "text": "one\ntwo \u00e4\ud83d\ude42", "x": true})",
      "{\"text\":\"\xc3\xa4\",\"b\":[[],{},[{\"a\":\"\\\\\"}]],\"c\":null}",
      R"( { "a" : false , "text" : "" , "text" : "last" } )"};
  constexpr std::string_view alphabet = "{}[]\":,\\u0123456789abcdefntNIE+-. \xc3\xa4";
  Philox random(11);
  int read = 0;
  for (int round = 0; round < 30'000; ++round) {
    std::string line = lines[round % 3];
    const auto changes = static_cast<int>(random.below(3));
    for (int i = 0; i < changes; ++i) line[random.below(line.size())] = alphabet[random.below(alphabet.size())];
    const std::optional<std::string> expected = by_library(line);
    if (!expected) continue;
    ++read;
    CAPTURE(line);
    REQUIRE(text_or_reason(line) == *expected);
  }
  CHECK(read > 10'000);
}

TEST_CASE("JSON Lines are known by their first line, whole or cut off") {
  CHECK(begins_with_json_line("{\"a\": 1}\nanything"));
  CHECK(begins_with_json_line("\xEF\xBB\xBF\n {\"a\": [NaN]}"));
  CHECK(begins_with_json_line("{\"text\": \"a line longer than the head"));
  for (const char* other :
       {"", "text", "[1]\n", "{}\n", "{\n  \"a\": 1\n}\n", "{\"a\": 1} and text\n", "{x}", "{\"a\"\n"}) {
    CAPTURE(other);
    CHECK_FALSE(begins_with_json_line(other));
  }
}

}  // namespace isoloss
