// Byte-level BPE, the one kind of tokenizer here: `bytes` is the case without merges, `gpt2` the case with OpenAI's,
// and `bpe` has merges trained on one's own text. Every byte string has ids, and decoding them gives its bytes back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isoloss {

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

/// Two ids that become one. The place in the list is the rank: lower merges first.
struct Merge {
  std::uint32_t left, right, merged;
};

/// What defines a byte-level BPE tokenizer.
struct Vocabulary {
  std::string kind;                 ///< "bytes", "gpt2" or "bpe", for messages and meta.json
  std::vector<std::string> tokens;  ///< bytes of each id
  std::vector<bool> special;        ///< ids that encode() never gives, such as <|endoftext|>; same size as tokens
  std::vector<Merge> merges;
  std::optional<std::uint32_t> end_of_text;
};

class Tokenizer {
 public:
  /// Every byte must be an ordinary token of its own. `where` begins the input error when one is missing.
  Tokenizer(Vocabulary vocabulary, std::string_view where);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Appends the ids of `text`. Takes any bytes; `<|endoftext|>` in them is ordinary text. Not const: words are
  /// cached, so one tokenizer serves one thread at a time.
  void encode(std::string_view text, std::vector<std::uint32_t>& ids);
  /// The same for one word of the pre-tokenisation (pretokenize.h), for text that comes in pieces.
  void encode_word(std::string_view word, std::vector<std::uint32_t>& ids);
  /// The bytes of the ids, special tokens as their names. An id >= vocab_size() is an input error.
  std::string decode(std::span<const std::uint32_t> ids) const;

  const std::string& kind() const { return vocabulary_.kind; }
  std::uint32_t vocab_size() const { return static_cast<std::uint32_t>(vocabulary_.tokens.size()); }
  /// The id that stands between documents; absent in some foreign files.
  std::optional<std::uint32_t> end_of_text() const { return vocabulary_.end_of_text; }
  /// Bytes of one id < vocab_size(), for decoding piece by piece.
  std::string_view token(std::uint32_t id) const { return vocabulary_.tokens[id]; }
  /// Bytes of text that an id stands for; 0 for special tokens. For bits per byte.
  std::uint32_t bytes_of_token(std::uint32_t id) const {
    return vocabulary_.special[id] ? 0 : static_cast<std::uint32_t>(vocabulary_.tokens[id].size());
  }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  /// Writes a Hugging Face `tokenizer.json`, atomically.
  void save(const std::filesystem::path& path) const;

 private:
  struct Encoder;
  Vocabulary vocabulary_;
  std::unique_ptr<Encoder> encoder_;
};

/// `bytes`, `gpt2:DIR` (OpenAI's encoder.json and vocab.bpe) or the path of a Hugging Face tokenizer.json.
/// `bpe:SIZE` needs text to train on (see bpe_trainer.h) and is an input error here.
Tokenizer load_tokenizer(std::string_view spec);

/// Ids 0–255 are the byte values, 256 is <|endoftext|>.
Vocabulary bytes_vocabulary();
/// OpenAI's GPT-2 files `encoder.json` and `vocab.bpe` in `directory`.
Vocabulary gpt2_vocabulary(const std::filesystem::path& directory);
/// A Hugging Face tokenizer.json that is a byte-level BPE with GPT-2's pre-tokenisation; `where` (the file) begins
/// every input error. Never trusts the text: any malformed or foreign content is such an error.
Vocabulary parse_tokenizer_json(std::string_view json, std::string_view where);
std::string tokenizer_json(const Vocabulary& vocabulary);

}  // namespace isoloss
