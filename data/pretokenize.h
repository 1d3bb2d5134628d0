// GPT-2's pre-tokenisation: text falls into words, and no BPE merge crosses from one word into the next. The words are
// the successive matches of
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// (Radford et al. 2019, encoder.py), found by a hand-written scanner. A byte that is not valid UTF-8 counts as one
// character that is neither letter, number nor space, so every byte string has words.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace isoloss {

/// End of the word that begins at `begin` < text.size().
std::size_t word_end(std::string_view text, std::size_t begin);

/// The last place up to `at` < text.size() where a character begins; `at` itself where that is not UTF-8.
std::size_t character_boundary(std::string_view text, std::size_t at);

/// Splits text that arrives in pieces into the words that it would have in one piece, in bounded memory: words longer
/// than kLongestWord are cut there, between characters.
class WordStream {
 public:
  static constexpr std::size_t kLongestWord = std::size_t{1} << 20;

  /// Calls `use(word)` for every word that no later byte can change.
  template <class Use>
  void add(std::string_view piece, Use&& use) {
    buffer_.append(piece);
    drain(false, use);
  }
  /// The rest; the stream is then ready for the next text.
  template <class Use>
  void finish(Use&& use) {
    drain(true, use);
  }

 private:
  // A word depends on at most two characters behind its end: the one that ends the run, or `re` behind an apostrophe.
  static constexpr std::size_t kLookahead = 8;

  template <class Use>
  void drain(bool last, Use& use) {
    const std::string_view text = buffer_;
    std::size_t begin = 0;
    while (begin < text.size()) {
      std::size_t end = word_end(text, begin);
      if (end - begin > kLongestWord) {
        end = character_boundary(text, begin + kLongestWord);
      } else if (!last && end + kLookahead > text.size()) {
        break;
      }
      use(text.substr(begin, end - begin));
      begin = end;
    }
    buffer_.erase(0, begin);
  }
  std::string buffer_;
};

}  // namespace isoloss
