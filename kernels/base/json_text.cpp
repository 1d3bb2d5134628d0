#include "kernels/base/json_text.h"

#include <fmt/format.h>

namespace isoloss {

namespace {

/// What stops the parser, and after how many bytes.
struct Problem {
  std::size_t byte = 0;
  std::string what;
};

/// Where brackets first stand deeper than kDeepestJson. Quotes are followed as the parser does, up to the first mistake
/// in the text, where the parser stops.
std::optional<Problem> too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson) return Problem{i + 1, fmt::format("deeper nesting than {} levels", kDeepestJson)};
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return std::nullopt;
}

/// Goes through text that does not parse, to its mistake: the exceptions of the tree's parser tell the place of some.
class FindProblem : public nlohmann::json_sax<nlohmann::json> {
 public:
  Problem problem;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t byte, const std::string& token, const nlohmann::detail::exception& error) override {
    const bool number = dynamic_cast<const nlohmann::json::out_of_range*>(&error) != nullptr;
    problem = {byte, number ? fmt::format("{}, a number beyond the range of double", token) : "a syntax error"};
    return false;
  }
};

}  // namespace

template <class Json>
Json parse_json(std::string_view text, std::string_view where, std::string_view expected,
                const typename Json::parser_callback_t& filter) {
  std::optional<Problem> problem = too_deep(text);
  if (!problem) {
    try {
      return Json::parse(text, filter);
    } catch (const nlohmann::json::exception& error) {
      FindProblem find;
      find.problem.what = error.what();
      nlohmann::json::sax_parse(text, &find);
      problem = std::move(find.problem);
    }
  }
  fail_input(fmt::format("{} byte {}", where, problem->byte), expected, problem->what);
}

template nlohmann::json parse_json(std::string_view, std::string_view, std::string_view,
                                   const nlohmann::json::parser_callback_t&);
template nlohmann::ordered_json parse_json(std::string_view, std::string_view, std::string_view,
                                           const nlohmann::ordered_json::parser_callback_t&);

std::optional<nlohmann::json> try_parse_json(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace isoloss
