#include "data/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <queue>
#include <utility>

#include "data/pretokenize.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace {
constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

/// (left, right) -> rank, in one flat table with linear probing, at most half full.
class PairTable {
 public:
  explicit PairTable(const std::vector<Merge>& merges) {
    std::size_t slots = 16;
    while (slots < 2 * merges.size()) slots *= 2;
    slots_.assign(slots, Slot{0, kNone});
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      Slot& slot = find(key(merges[rank].left, merges[rank].right));
      if (slot.rank == kNone) slot = {key(merges[rank].left, merges[rank].right), static_cast<std::uint32_t>(rank)};
    }
  }
  std::uint32_t rank(std::uint32_t left, std::uint32_t right) const {
    return const_cast<PairTable*>(this)->find(key(left, right)).rank;
  }

 private:
  struct Slot {
    std::uint64_t key;
    std::uint32_t rank;
  };
  static std::uint64_t key(std::uint32_t left, std::uint32_t right) { return std::uint64_t{left} << 32 | right; }
  Slot& find(std::uint64_t key) {
    std::size_t i = (key * 0x9e3779b97f4a7c15u) >> 20;
    for (;; ++i) {
      Slot& slot = slots_[i & (slots_.size() - 1)];
      if (slot.rank == kNone || slot.key == key) return slot;
    }
  }
  std::vector<Slot> slots_;
};

/// Ids of the words seen last, one cache line each, looked up by the word's bytes in three machine words.
class WordCache {
 public:
  static constexpr std::size_t kLongest = 23, kMostIds = 9;
  using Key = std::array<std::uint64_t, 3>;

  struct alignas(64) Slot {
    Key key{};  // the bytes, then the length in the last byte; no word has length 0
    std::uint32_t count = 0;
    std::array<std::uint32_t, kMostIds> ids{};
  };

  WordCache() : slots_(kSlots) {}

  static Key key_of(std::string_view word) {
    char bytes[24] = {};
    std::memcpy(bytes, word.data(), word.size());
    bytes[23] = static_cast<char>(word.size());
    Key key;
    std::memcpy(key.data(), bytes, sizeof bytes);
    return key;
  }
  Slot& slot(const Key& key) {
    std::uint64_t hash = key[0] * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 29 ^ key[1]) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 32 ^ key[2]) * 0x94d049bb133111ebu;
    return slots_[hash >> (64 - kBits)];
  }

 private:
  static constexpr int kBits = 16;
  static constexpr std::size_t kSlots = std::size_t{1} << kBits;
  std::vector<Slot> slots_;
};
}  // namespace

struct Tokenizer::Encoder {
  explicit Encoder(const Vocabulary& vocabulary) : pairs(vocabulary.merges) {
    byte_ids.fill(kNone);
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      if (vocabulary.special[id] || vocabulary.tokens[id].size() != 1) continue;
      byte_ids[static_cast<unsigned char>(vocabulary.tokens[id][0])] = static_cast<std::uint32_t>(id);
    }
  }

  void encode_word(std::string_view word, const std::vector<Merge>& merges, std::vector<std::uint32_t>& ids) {
    if (word.size() > WordCache::kLongest) {
      merge_word(word, merges, ids);
      return;
    }
    const WordCache::Key key = WordCache::key_of(word);
    WordCache::Slot& slot = cache.slot(key);
    if (slot.key == key) {
      ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.count);
      return;
    }
    const std::size_t before = ids.size();
    merge_word(word, merges, ids);
    const std::size_t count = ids.size() - before;
    if (count > WordCache::kMostIds) return;
    slot.key = key;
    slot.count = static_cast<std::uint32_t>(count);
    std::copy(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), slot.ids.begin());
  }

  void merge_word(std::string_view word, const std::vector<Merge>& merges, std::vector<std::uint32_t>& ids) const {
    constexpr std::size_t short_word = 48;  // where the heap starts to pay
    if (word.size() <= short_word) {
      merge_short(word, merges, ids);
    } else {
      merge_long(word, merges, ids);
    }
  }

  /// The lowest-ranked pair, leftmost first, again and again.
  void merge_short(std::string_view word, const std::vector<Merge>& merges, std::vector<std::uint32_t>& ids) const {
    std::array<std::uint32_t, 64> symbols, ranks;  // ranks[i] belongs to the pair (i, i + 1)
    std::size_t count = word.size();
    for (std::size_t i = 0; i < count; ++i) symbols[i] = byte_ids[static_cast<unsigned char>(word[i])];
    for (std::size_t i = 0; i + 1 < count; ++i) ranks[i] = pairs.rank(symbols[i], symbols[i + 1]);
    while (count > 1) {
      const auto end = ranks.begin() + static_cast<std::ptrdiff_t>(count - 1);
      const auto best = std::min_element(ranks.begin(), end);
      if (*best == kNone) break;
      const auto i = static_cast<std::size_t>(best - ranks.begin());
      symbols[i] = merges[*best].merged;
      std::copy(symbols.begin() + i + 2, symbols.begin() + count, symbols.begin() + i + 1);
      std::copy(best + 1, end, best);
      --count;
      if (i + 1 < count) ranks[i] = pairs.rank(symbols[i], symbols[i + 1]);
      if (i > 0) ranks[i - 1] = pairs.rank(symbols[i - 1], symbols[i]);
    }
    ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
  }

  /// The same with a heap over a linked list: n log n, for words that fill pages.
  void merge_long(std::string_view word, const std::vector<Merge>& merges, std::vector<std::uint32_t>& ids) const {
    struct Symbol {
      std::uint32_t id, rank, previous, next;  // rank of the pair (this, next)
    };
    const auto count = static_cast<std::uint32_t>(word.size());
    std::vector<Symbol> symbols(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      symbols[i] = {byte_ids[static_cast<unsigned char>(word[i])], kNone, i == 0 ? kNone : i - 1,
                    i + 1 == count ? kNone : i + 1};
    }
    using Candidate = std::pair<std::uint32_t, std::uint32_t>;  // rank, place
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto rank_pair = [&](std::uint32_t i) {
      Symbol& symbol = symbols[i];
      symbol.rank = symbol.next == kNone ? kNone : pairs.rank(symbol.id, symbols[symbol.next].id);
      if (symbol.rank != kNone) queue.emplace(symbol.rank, i);
    };
    for (std::uint32_t i = 0; i < count; ++i) rank_pair(i);
    while (!queue.empty()) {
      const auto [rank, i] = queue.top();
      queue.pop();
      Symbol& symbol = symbols[i];
      if (symbol.rank != rank) continue;  // merged away or paired anew since
      Symbol& gone = symbols[symbol.next];
      symbol.id = merges[rank].merged;
      symbol.next = gone.next;
      gone.rank = kNone;
      if (symbol.next != kNone) symbols[symbol.next].previous = i;
      rank_pair(i);
      if (symbol.previous != kNone) rank_pair(symbol.previous);
    }
    for (std::uint32_t i = 0; i != kNone; i = symbols[i].next) ids.push_back(symbols[i].id);
  }

  PairTable pairs;
  std::array<std::uint32_t, 256> byte_ids;
  WordCache cache;
};

Tokenizer::Tokenizer(Vocabulary vocabulary, std::string_view where)
    : vocabulary_(std::move(vocabulary)), encoder_(std::make_unique<Encoder>(vocabulary_)) {
  for (std::size_t byte = 0; byte < encoder_->byte_ids.size(); ++byte) {
    if (encoder_->byte_ids[byte] == kNone) {
      fail_input(where, "a token for each of the 256 bytes", fmt::format("none for byte {}", byte));
    }
  }
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

void Tokenizer::encode(std::string_view text, std::vector<std::uint32_t>& ids) {
  if (vocabulary_.merges.empty()) {
    for (const char c : text) ids.push_back(encoder_->byte_ids[static_cast<unsigned char>(c)]);
    return;
  }
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = word_end(text, begin);
    encoder_->encode_word(text.substr(begin, end - begin), vocabulary_.merges, ids);
    begin = end;
  }
}

void Tokenizer::encode_word(std::string_view word, std::vector<std::uint32_t>& ids) {
  encoder_->encode_word(word, vocabulary_.merges, ids);
}

std::string Tokenizer::decode(std::span<const std::uint32_t> ids) const {
  std::string text;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= vocab_size()) {
      fail_input(fmt::format("id number {}", i), fmt::format("an id below the vocabulary of {}", vocab_size()),
                 fmt::format("{}", ids[i]));
    }
    text += vocabulary_.tokens[ids[i]];
  }
  return text;
}

void Tokenizer::save(const std::filesystem::path& path) const {
  write_file_atomically(path, tokenizer_json(vocabulary_));
}

Vocabulary bytes_vocabulary() {
  Vocabulary vocabulary;
  vocabulary.kind = "bytes";
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  vocabulary.tokens.emplace_back(kEndOfText);
  vocabulary.special.assign(257, false);
  vocabulary.special[256] = true;
  vocabulary.end_of_text = 256;
  return vocabulary;
}

Tokenizer load_tokenizer(std::string_view spec) {
  if (spec == "bytes") return Tokenizer(bytes_vocabulary(), spec);
  if (spec.starts_with("gpt2:")) return Tokenizer(gpt2_vocabulary(spec.substr(5)), spec);
  if (spec.starts_with("bpe:")) {
    fail_input(spec, "bytes, gpt2:DIR or the path of a tokenizer.json",
               "a tokenizer that is yet to be trained on text");
  }
  const std::string file(spec);
  return Tokenizer(parse_tokenizer_json(read_file(file), file), file);
}

}  // namespace isoloss
