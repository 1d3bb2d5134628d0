// Learns a byte-level BPE from text (Sennrich et al. 2016, over bytes as in GPT-2).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/pretokenize.h"
#include "data/tokenizer.h"

namespace isoloss {

/// How often each distinct word occurs, in bounded memory: when there are more than `most_words`, the rarest are
/// forgotten. Words keep the order in which they first came.
class WordCounts {
 public:
  explicit WordCounts(std::size_t most_words = std::size_t{1} << 21) : most_words_(most_words) { rehash(1 << 16); }
  void add(std::string_view word, std::uint64_t times = 1);

  struct Entry {
    std::uint64_t offset, count;
    std::uint32_t length, hash;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  /// Of the text: words that came several times count as often.
  std::uint64_t bytes_forgotten() const { return bytes_forgotten_; }
  std::string_view word(const Entry& entry) const {
    return std::string_view(bytes_).substr(entry.offset, entry.length);
  }

 private:
  void rehash(std::size_t slots);
  void forget_rarest();

  std::size_t most_words_;
  std::uint64_t bytes_forgotten_ = 0;
  std::string bytes_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;  ///< entry number + 1, or 0
};

/// Feed every document, then train once. The result depends on the text alone.
class BpeTrainer {
 public:
  /// Longer words (no spaces for pages) are cut into pieces of at most so many bytes, between characters.
  static constexpr std::size_t kLongestWord = 1024;
  /// Pieces of long words that teach: hardly any of them comes twice, so all would have to be kept.
  static constexpr std::uint64_t kMostPieces = std::uint64_t{32} << 20;  // bytes
  static constexpr std::uint32_t kSmallestSize = 257;                    ///< 256 bytes and <|endoftext|>

  explicit BpeTrainer(std::uint64_t most_pieces = kMostPieces) : most_pieces_(most_pieces) {}

  void add(std::string_view piece) {
    stream_.add(piece, [this](std::string_view word) { count(word); });
  }
  void end_document() {
    stream_.finish([this](std::string_view word) { count(word); });
  }

  /// At most `size` >= kSmallestSize ids: 0–255 the byte values, then the merges in the order learned, <|endoftext|>
  /// last. Each merge joins the commonest pair; of equally common ones the pair with the smaller (left, right) ids. It
  /// ends early when no pair occurs twice. `progress(done, total)` returns false to stop, which throws nothing and ends
  /// early.
  Vocabulary train(std::uint32_t size, const std::function<bool(std::size_t, std::size_t)>& progress = {}) const;

  std::uint64_t bytes() const { return bytes_; }
  /// Bytes of long words beyond kMostPieces, which teach nothing.
  std::uint64_t bytes_left_out() const { return piece_bytes_ - std::min(piece_bytes_, most_pieces_); }
  /// Bytes of the rare words that were forgotten because there were too many.
  std::uint64_t bytes_forgotten() const { return words_.bytes_forgotten(); }

 private:
  void count(std::string_view word) {
    bytes_ += word.size();
    if (word.size() <= kLongestWord) {
      words_.add(word);
    } else {
      count_pieces(word);
    }
  }
  void count_pieces(std::string_view word);

  std::uint64_t most_pieces_;
  std::uint64_t bytes_ = 0, piece_bytes_ = 0;
  WordCounts words_;
  WordStream stream_;
};

}  // namespace isoloss
