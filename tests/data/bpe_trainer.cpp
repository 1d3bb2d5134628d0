#include "data/bpe_trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>

#include "data/stories.h"
#include "kernels/base/philox.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
/// The definition, read aloud: count every pair anew for every merge.
std::vector<Merge> naive_merges(std::string_view text, std::size_t size) {
  std::map<std::string, std::int64_t> counts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = word_end(text, begin);
    ++counts[std::string(text.substr(begin, end - begin))];
    begin = end;
  }
  std::vector<std::pair<std::vector<std::uint32_t>, std::int64_t>> words;
  for (const auto& [word, count] : counts) {
    std::vector<std::uint32_t> ids;
    for (const char c : word) ids.push_back(static_cast<unsigned char>(c));
    words.emplace_back(ids, count);
  }
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  std::vector<Merge> merges;
  while (tokens.size() + 1 < size) {
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::int64_t> pairs;
    for (const auto& [ids, count] : words) {
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) pairs[{ids[i], ids[i + 1]}] += count;
    }
    const auto best =
        std::max_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == pairs.end() || best->second < 2) break;
    const auto [left, right] = best->first;
    const std::string token = tokens[left] + tokens[right];
    const auto known = std::find(tokens.begin(), tokens.end(), token);
    const auto merged = static_cast<std::uint32_t>(known - tokens.begin());
    if (known == tokens.end()) tokens.push_back(token);
    merges.push_back({left, right, merged});
    for (auto& [ids, count] : words) {
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        if (ids[i] != left || ids[i + 1] != right) continue;
        ids[i] = merged;
        ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

Vocabulary trained(std::string_view text, std::uint32_t size) {
  BpeTrainer trainer;
  trainer.add(text);
  trainer.end_document();
  return trainer.train(size);
}

void check_equal(const std::vector<Merge>& got, const std::vector<Merge>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    REQUIRE(got[i].left == expected[i].left);
    REQUIRE(got[i].right == expected[i].right);
    REQUIRE(got[i].merged == expected[i].merged);
  }
}
}  // namespace

TEST_CASE("the trainer learns what the definition says, merge by merge") {
  StoryGenerator stories;
  std::string text;
  while (text.size() < 20'000) text += stories.next();
  check_equal(trained(text, 600).merges, naive_merges(text, 600));
}

TEST_CASE("ties, repeated symbols and two ways to one token, against the definition") {
  Philox random(4);
  for (int round = 0; round < 40; ++round) {
    // Three letters: long runs of one symbol, and many pairs with the same count.
    std::string text;
    while (text.size() < 400) text += random.below(5) == 0 ? ' ' : static_cast<char>('a' + random.below(3));
    check_equal(trained(text, 400).merges, naive_merges(text, 400));
  }
}

TEST_CASE("tokens are distinct, <|endoftext|> is last, and a short text ends the training early") {
  const Vocabulary vocabulary = trained("aaaaaaaa aaaaaaaa ab ab", 1000);
  CHECK(vocabulary.tokens.size() < 300);
  CHECK(vocabulary.end_of_text == vocabulary.tokens.size() - 1);
  std::vector<std::string> tokens = vocabulary.tokens;
  std::sort(tokens.begin(), tokens.end());
  CHECK(std::adjacent_find(tokens.begin(), tokens.end()) == tokens.end());
  CHECK(trained("", 300).merges.empty());
  CHECK(trained("abcabc", 257).tokens.size() == 257);
}

TEST_CASE("word counts forget the rarest when there are too many, and keep the common") {
  WordCounts counts(100);
  for (int i = 0; i < 1000; ++i) {
    counts.add("common");
    counts.add("rare" + std::to_string(i));
  }
  REQUIRE(counts.entries().size() <= 101);
  CHECK(counts.word(counts.entries().front()) == "common");
  CHECK(counts.entries().front().count == 1000);
  std::uint64_t kept = 0, all = 1000 * 6;
  for (const WordCounts::Entry& entry : counts.entries()) kept += entry.count * entry.length;
  for (int i = 0; i < 1000; ++i) all += 4 + std::to_string(i).size();
  CHECK(counts.bytes_forgotten() == all - kept);
}

TEST_CASE("words beyond the limit teach in pieces, cut between characters") {
  Philox random(5);
  std::string letters, chinese;
  for (int i = 0; i < 5000; ++i) letters += "ACGT"[random.below(4)];
  while (chinese.size() < 5000) chinese += std::string("\xe4\xb8") + static_cast<char>(0x80 + random.below(20));
  // The same text as words of their own, which a space in front would be part of.
  const auto cut = [](std::string_view text, std::size_t length) {
    BpeTrainer trainer;
    for (; !text.empty(); text.remove_prefix(std::min(length, text.size()))) {
      trainer.add(text.substr(0, length));
      trainer.end_document();
    }
    return trainer.train(400);
  };
  check_equal(trained(letters, 400).merges, cut(letters, BpeTrainer::kLongestWord).merges);
  check_equal(trained(chinese, 400).merges, cut(chinese, BpeTrainer::kLongestWord / 3 * 3).merges);
  CHECK(trained(letters, 400).tokens.size() == 400);
}

TEST_CASE("pieces beyond the limit are left out and counted") {
  BpeTrainer trainer(4096);
  trainer.add("a few words, " + std::string(10'000, 'x'));
  trainer.end_document();
  CHECK(trainer.bytes() == 10'013);
  CHECK(trainer.bytes_left_out() == 10'001 - 4096);
  BpeTrainer all;
  all.add("a few words, " + std::string(10'000, 'x'));
  all.end_document();
  CHECK(all.bytes_left_out() == 0);
  CHECK(all.bytes_forgotten() == 0);
}

TEST_CASE("training in pieces gives what training on the whole gives") {
  const std::string text = "they've seen it, they've seen it all: they've been there, been there too";
  BpeTrainer pieces;
  for (const char c : text) pieces.add(std::string_view(&c, 1));
  pieces.end_document();
  check_equal(pieces.train(300).merges, trained(text, 300).merges);
}

}  // namespace isoloss
