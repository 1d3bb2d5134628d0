// A tokenizer.json with one change is refused, or gives every text its bytes back.
#include "data/tokenizer.h"
#include "tests/fuzz/change.h"

namespace {
using namespace isoloss;

/// The bytes and some merges of two tokens each, of which some are merges themselves.
Vocabulary valid_vocabulary(fuzz::Choices& choices) {
  Vocabulary vocabulary = bytes_vocabulary();
  vocabulary.kind = "bpe";
  for (std::size_t i = 0, count = choices.below(6); i < count; ++i) {
    const auto letter = [&] {
      return static_cast<std::uint32_t>(choices.below(4) == 0 ? ' ' : 'a' + choices.below(4));
    };
    const auto end = static_cast<std::uint32_t>(vocabulary.tokens.size());
    const std::uint32_t left = end > 257 && choices.flag() ? end - 1 : letter(), right = letter();
    const std::string merged = vocabulary.tokens[left] + vocabulary.tokens[right];
    if (std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), merged) != vocabulary.tokens.end()) continue;
    vocabulary.merges.push_back({left, right, end});
    vocabulary.tokens.push_back(merged);
    vocabulary.special.push_back(false);
  }
  return vocabulary;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(data, size);
  const fuzz::Document document(tokenizer_json(valid_vocabulary(choices)), choices);
  fuzz::accepted(document.valid, [&] {
    Tokenizer tokenizer(parse_tokenizer_json(document.text, "fuzz"), "fuzz");
    const std::string text = "abba cab  bad \xff" + std::string(choices.rest());
    std::vector<std::uint32_t> ids;
    tokenizer.encode(text, ids);
    fuzz::require(tokenizer.decode(ids) == text, "another text after encoding and decoding: " + text);
    const std::string written = tokenizer_json(tokenizer.vocabulary());
    Tokenizer again(parse_tokenizer_json(written, "fuzz"), "fuzz");
    std::vector<std::uint32_t> same;
    again.encode(text, same);
    fuzz::require(ids == same, "other ids from the tokenizer's own file");
  });
  return 0;
}
