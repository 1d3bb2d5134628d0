#include "data/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "kernels/base/philox.h"

namespace isoloss {

void WordCounts::add(std::string_view word, std::uint64_t times) {
  const auto hash = static_cast<std::uint32_t>(mix(hash_name(word), 0));
  for (std::size_t i = hash;; ++i) {
    std::uint32_t& slot = slots_[i & (slots_.size() - 1)];
    if (slot == 0) {
      entries_.push_back({bytes_.size(), times, static_cast<std::uint32_t>(word.size()), hash});
      bytes_ += word;
      slot = static_cast<std::uint32_t>(entries_.size());
      break;
    }
    Entry& entry = entries_[slot - 1];
    if (entry.hash == hash && this->word(entry) == word) {
      entry.count += times;
      return;
    }
  }
  if (entries_.size() > most_words_) forget_rarest();
  if (entries_.size() * 2 > slots_.size()) rehash(slots_.size() * 2);
}

void WordCounts::rehash(std::size_t slots) {
  slots_.assign(slots, 0);
  for (std::size_t n = 0; n < entries_.size(); ++n) {
    std::size_t i = entries_[n].hash;
    while (slots_[i & (slots - 1)] != 0) ++i;
    slots_[i & (slots - 1)] = static_cast<std::uint32_t>(n + 1);
  }
}

void WordCounts::forget_rarest() {
  for (std::uint64_t rare = 1; entries_.size() > most_words_ / 2; rare *= 2) {
    std::string bytes;
    std::vector<Entry> kept;
    for (const Entry& entry : entries_) {
      if (entry.count <= rare) {
        bytes_forgotten_ += entry.count * entry.length;
        continue;
      }
      kept.push_back(entry);
      kept.back().offset = bytes.size();
      bytes += word(entry);
    }
    entries_.swap(kept);
    bytes_.swap(bytes);
  }
  rehash(slots_.size());
}

namespace {
using Pair = std::uint64_t;  // left in the high half
constexpr Pair pair_of(std::uint32_t left, std::uint32_t right) { return Pair{left} << 32 | right; }

/// The words as id sequences, and where each pair of neighbours occurs.
class MergeTable {
 public:
  explicit MergeTable(const WordCounts& counts) {
    for (const WordCounts::Entry& entry : counts.entries()) {
      if (entry.length < 2) continue;
      words_.push_back(
          {static_cast<std::uint32_t>(symbols_.size()), entry.length, static_cast<std::int64_t>(entry.count)});
      for (const char c : counts.word(entry)) symbols_.push_back(static_cast<unsigned char>(c));
    }
    for (std::uint32_t w = 0; w < words_.size(); ++w) count_pairs(w);
    for (const auto& [pair, use] : pairs_) queue_.push({use.count, pair});
  }

  /// The commonest pair, or false when none occurs twice.
  bool best(Pair& pair) {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      const std::int64_t count = pairs_.at(top.pair).count;
      if (top.count == count) {
        pair = top.pair;
        return count >= 2;
      }
      queue_.pop();
      if (count > 0) queue_.push({count, top.pair});  // it became rarer since it was queued
    }
    return false;
  }

  /// Replaces every `pair` by `merged`.
  void merge(Pair pair, std::uint32_t merged) {
    const std::vector<std::uint32_t> places = std::move(pairs_.at(pair).places);
    changed_.clear();
    for (const std::uint32_t w : places) replace(w, pair, merged);
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    // Only pairs with the new symbol can have become commoner; rarer ones are noticed when they come up.
    for (const Pair grown : changed_) queue_.push({pairs_.at(grown).count, grown});
  }

 private:
  struct Word {
    std::uint32_t begin, length;
    std::int64_t count;
  };
  struct Use {
    std::int64_t count = 0;
    std::vector<std::uint32_t> places;  // words; may hold one twice, or one that lost the pair
  };
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  Pair pair_at(const Word& word, std::uint32_t i) const {
    return pair_of(symbols_[word.begin + i], symbols_[word.begin + i + 1]);
  }
  void count_pairs(std::uint32_t w) {
    for (std::uint32_t i = 0; i + 1 < words_[w].length; ++i) note(pair_at(words_[w], i), w);
  }
  void note(Pair pair, std::uint32_t w) {
    Use& use = pairs_[pair];
    use.count += words_[w].count;
    if (use.places.empty() || use.places.back() != w) use.places.push_back(w);
  }
  void forget(Pair pair, const Word& word) { pairs_.at(pair).count -= word.count; }

  /// Only the pairs that touch a merged place change their counts: those of the old word there are forgotten, those of
  /// the new one noted.
  void replace(std::uint32_t w, Pair pair, std::uint32_t merged) {
    Word& word = words_[w];
    std::uint32_t* symbols = &symbols_[word.begin];
    std::uint32_t out = 0;
    bool behind_hit = false;   // the symbol written last is a merged one
    std::uint32_t before = 0;  // what stood last, in the old word, before place i
    for (std::uint32_t i = 0; i < word.length; ++out) {
      const std::uint32_t old = symbols[i];
      const bool hit = i + 1 < word.length && pair_of(old, symbols[i + 1]) == pair;
      if (i > 0 && (hit || behind_hit)) forget(pair_of(before, old), word);
      if (hit) forget(pair, word);
      before = hit ? symbols[i + 1] : old;
      symbols[out] = hit ? merged : old;
      if (out > 0 && (hit || behind_hit)) note_changed(pair_of(symbols[out - 1], symbols[out]), w);
      behind_hit = hit;
      i += hit ? 2 : 1;
    }
    word.length = out;
  }
  void note_changed(Pair pair, std::uint32_t w) {
    note(pair, w);
    changed_.push_back(pair);
  }

  std::vector<std::uint32_t> symbols_;
  std::vector<Word> words_;
  std::unordered_map<Pair, Use> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> changed_;
};
}  // namespace

void BpeTrainer::count_pieces(std::string_view word) {
  while (!word.empty()) {
    const std::size_t length = word.size() > kLongestWord ? character_boundary(word, kLongestWord) : word.size();
    piece_bytes_ += length;
    if (piece_bytes_ <= most_pieces_) words_.add(word.substr(0, length));
    word.remove_prefix(length);
  }
}

Vocabulary BpeTrainer::train(std::uint32_t size, const std::function<bool(std::size_t, std::size_t)>& progress) const {
  Vocabulary vocabulary = bytes_vocabulary();
  vocabulary.kind = "bpe";
  vocabulary.tokens.pop_back();
  std::unordered_map<std::string, std::uint32_t> ids;
  for (std::uint32_t id = 0; id < 256; ++id) ids.emplace(vocabulary.tokens[id], id);
  MergeTable table(words_);
  const std::size_t wanted = size - 1;  // the last id is <|endoftext|>
  Pair pair = 0;
  while (vocabulary.tokens.size() < wanted && table.best(pair)) {
    const auto left = static_cast<std::uint32_t>(pair >> 32), right = static_cast<std::uint32_t>(pair);
    // Two ways to the same bytes (a+bc, ab+c) are two merges into one token.
    const auto next = static_cast<std::uint32_t>(vocabulary.tokens.size());
    const auto [token, added] = ids.emplace(vocabulary.tokens[left] + vocabulary.tokens[right], next);
    if (added) vocabulary.tokens.push_back(token->first);
    vocabulary.merges.push_back({left, right, token->second});
    table.merge(pair, token->second);
    if (progress && !progress(vocabulary.tokens.size(), wanted)) break;
  }
  vocabulary.end_of_text = static_cast<std::uint32_t>(vocabulary.tokens.size());
  vocabulary.tokens.emplace_back(kEndOfText);
  vocabulary.special.assign(vocabulary.tokens.size(), false);
  vocabulary.special.back() = true;
  return vocabulary;
}

}  // namespace isoloss
