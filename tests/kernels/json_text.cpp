// JSON text of any kind comes in as values or as one input error.
#include "kernels/base/json_text.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

namespace isoloss {
namespace {

template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::to_string(error.exit_code()) + " " + error.what();
  }
  return "none";
}

std::string parse_error(std::string_view text) {
  return error_of([&] { parse_json(text, "f.json"); });
}

std::string nested(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
}

}  // namespace

TEST_CASE("parse_json: values, in the order of the text where it matters") {
  CHECK(parse_json(R"({"b":[1,2.5,"x\"[{"],"a":null})", "")["b"][2] == "x\"[{");
  CHECK(parse_json<nlohmann::ordered_json>(R"({"b":1,"a":2})", "").begin().key() == "b");
  CHECK(parse_json("1.7976931348623157e308", "") == 1.7976931348623157e308);
  CHECK(parse_json("1e-999", "") == 0.0);  // too small is no mistake
}

TEST_CASE("parse_json: every mistake is an input error with its byte") {
  CHECK(parse_error("") == "2 [f.json byte 1] expected JSON, got a syntax error");
  CHECK(parse_error("{\"a\": }") == "2 [f.json byte 7] expected JSON, got a syntax error");
  CHECK(parse_error("[1] 2") == "2 [f.json byte 5] expected JSON, got a syntax error");
  CHECK(parse_error("\"\xff\"") == "2 [f.json byte 2] expected JSON, got a syntax error");
  CHECK(parse_error("[NaN]") == "2 [f.json byte 2] expected JSON, got a syntax error");
  CHECK(parse_error("{\"a\":[0,1e999]}") ==
        "2 [f.json byte 13] expected JSON, got 1e999, a number beyond the range of double");
  CHECK(parse_error("[-1e400]") == "2 [f.json byte 7] expected JSON, got -1e400, a number beyond the range of double");
  CHECK(parse_error(std::string(400, '9')).find("a number beyond the range of double") != std::string::npos);
  CHECK(error_of([] { parse_json<nlohmann::ordered_json>("1e999", "m", "a manifest"); }) ==
        "2 [m byte 5] expected a manifest, got 1e999, a number beyond the range of double");
}

TEST_CASE("parse_json: nesting has an end") {
  CHECK(parse_json(nested(kDeepestJson), "").is_array());
  CHECK(parse_error(nested(kDeepestJson + 1)) ==
        "2 [f.json byte 1001] expected JSON, got deeper nesting than 1000 levels");
  CHECK(parse_error(nested(100'000)).find("deeper nesting") != std::string::npos);
  CHECK(parse_json("[" + std::string("[],") + "\"" + std::string(2000, '[') + "\\\"[\"]", "").size() == 2);
  std::string beside = "[";
  for (int i = 0; i < 3000; ++i) beside += "{},";
  CHECK(parse_json(beside + "0]", "").size() == 3001);
}

TEST_CASE("parse_json: a filter drops values and may throw") {
  const auto without_b = [](int, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    return event != nlohmann::json::parse_event_t::key || value != "b";
  };
  CHECK(parse_json(R"({"a":1,"b":[2]})", "", "JSON", without_b) == nlohmann::json{{"a", 1}});
  const auto refuse = [](int, nlohmann::json::parse_event_t, nlohmann::json&) -> bool { fail_input("x", "y", "z"); };
  CHECK(error_of([&] { parse_json("[]", "", "JSON", refuse); }) == "2 [x] expected y, got z");
  const auto wrong = [](int, nlohmann::json::parse_event_t, nlohmann::json& value) { return value.get<bool>(); };
  CHECK(error_of([&] { parse_json("[]", "f", "JSON", wrong); }).starts_with("2 [f byte 0] expected JSON, got [json"));
}

TEST_CASE("try_parse_json and read_json") {
  CHECK(try_parse_json("[1]").value() == nlohmann::json{1});
  for (const char* bad : {"", "[1", "1e999"}) CHECK_FALSE(try_parse_json(bad).has_value());
  CHECK_FALSE(try_parse_json(nested(100'000)).has_value());

  const nlohmann::json object = {{"a", "text"}};
  CHECK(read_json("f", "a thing", [&] { return object.at("a").get<std::string>(); }) == "text");
  CHECK(error_of([&] {
          read_json("f", "a thing", [&] { return object.at("a").get<int>(); });
        }).starts_with("2 [f] expected a thing, got an error: "));
  CHECK(error_of([&] {
          read_json("f", "a thing", [&] { return object.at("b").get<int>(); });
        }).starts_with("2 [f] expected a thing, got an error: "));
}

TEST_CASE("integers come in whole and in their range, or not at all") {
  const auto in = [](const char* text) { return parse_json(text, ""); };
  CHECK(integer_in<std::int64_t>(in("-9223372036854775808")) == std::numeric_limits<std::int64_t>::min());
  CHECK(integer_in<std::uint64_t>(in("18446744073709551615")) == std::numeric_limits<std::uint64_t>::max());
  CHECK(integer_in<int>(in("2147483647")) == 2147483647);
  CHECK(integer_in<std::uint32_t>(in("0")) == 0u);
  for (const char* text : {"3.7", "3.0", "1e3", "true", "null", "\"3\"", "[3]", "18446744073709551616"}) {
    INFO(text);
    CHECK_FALSE(integer_in<std::int64_t>(in(text)));
    CHECK_FALSE(integer_in<std::uint64_t>(in(text)));
    CHECK_FALSE(integer_in<int>(in(text)));
  }
  CHECK_FALSE(integer_in<std::int64_t>(in("9223372036854775808")));
  CHECK_FALSE(integer_in<std::uint64_t>(in("-1")));
  CHECK_FALSE(integer_in<int>(in("2147483648")));
  CHECK_FALSE(integer_in<std::uint32_t>(in("4294967296")));

  const nlohmann::json object = {{"whole", 3}, {"part", 3.7}};
  const auto read = [&](const char* key) {
    return error_of([&] { read_json("f", "a thing", [&] { return integer_at<std::int64_t>(object, key); }); });
  };
  CHECK(read("whole") == "none");
  CHECK(read("part") == "2 [f part] expected an integer in its range, got 3.7");
  CHECK(read("missing").starts_with("2 [f] expected a thing, got an error: "));
}

}  // namespace isoloss
