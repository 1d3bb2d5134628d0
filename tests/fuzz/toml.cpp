// Any text is a table or an input error; so is a valid one with a change. A table can be printed and read again.
#include "models/toml.h"

#include <sstream>

#include "tests/fuzz/change.h"

namespace {
using isoloss::fuzz::Choices;

/// A value of any type that TOML has.
std::string value(Choices& choices, int depth) {
  const std::size_t kind = choices.below(depth > 3 ? 9 : 11);
  constexpr std::string_view kPlain[] = {"1",
                                         "-1_000",
                                         "0x1F",
                                         "6.5e-3",
                                         "true",
                                         "\"a \\\"b\\\" \\u00e9\"",
                                         "'C:\\x'",
                                         "2026-01-02T03:04:05Z",
                                         "\"\"\"\none\ntwo\"\"\""};
  if (kind < std::size(kPlain)) return std::string(kPlain[kind]);
  std::string text;
  const bool array = kind == 9;
  for (std::size_t i = 0, count = choices.below(4); i < count; ++i) {
    text += i > 0 ? ", " : "";
    text += (array ? "" : "k" + std::to_string(i) + " = ") + value(choices, depth + 1);
  }
  return array ? "[" + text + "]" : "{" + text + "}";
}

std::string valid_text(Choices& choices) {
  std::string text;
  for (std::size_t i = 0, count = 1 + choices.below(8); i < count; ++i) {
    const std::string name = std::to_string(i);
    if (choices.rarely(3)) text += choices.flag() ? "[[list" + name + ".a]]\n" : "[table" + name + ".\"a b\"] # c\n";
    text += "k" + name + "." + std::string(choices.one_of({"a", "\"b.c\"", "'d'", "e.f.g"})) + " = " +
            value(choices, 0) + "\n";
  }
  return text;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isoloss;
  Choices choices(data, size);
  const bool raw = choices.rarely(4);
  const fuzz::Document document(raw ? std::string(choices.rest()) : valid_text(choices), choices);
  fuzz::accepted(document.valid && !raw, [&] {
    const toml::table table = parse_toml(document.text, "fuzz.toml");
    std::ostringstream printed;
    printed << table;
    (void)parse_toml(printed.str(), "printed.toml");
  });
  return 0;
}
