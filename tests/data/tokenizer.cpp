#include "data/tokenizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "data/bpe_trainer.h"
#include "data/meta.h"
#include "data/pretokenize.h"
#include "data/stories.h"
#include "kernels/base/philox.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
using Ids = std::vector<std::uint32_t>;
using nlohmann::json;

Ids encode(Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, ids);
  return ids;
}

std::string random_bytes(Philox& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.next());
  return bytes;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> all;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = word_end(text, begin);
    REQUIRE(end > begin);
    all.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return all;
}

json golden_cases() { return json::parse(read_file("tests/golden/gpt2/cases.json")); }
}  // namespace

TEST_CASE("GPT-2's ids, as tiktoken gives them (tests/golden/gpt2)") {
  Tokenizer tokenizer(gpt2_vocabulary("tests/golden/gpt2"), "golden");
  const json golden = golden_cases();
  const auto gpt2_ids = golden["gpt2_ids"].get<Ids>();
  REQUIRE(golden["cases"].size() >= 20);
  for (const json& one : golden["cases"]) {
    const auto text = one["text"].get<std::string>();
    CAPTURE(text);
    const Ids ids = encode(tokenizer, text);
    Ids mapped;
    for (const std::uint32_t id : ids) mapped.push_back(gpt2_ids[id]);
    CHECK(mapped == one["ids"].get<Ids>());
    CHECK(tokenizer.decode(ids) == text);
  }
}

TEST_CASE("the same with OpenAI's own files, where ISOLOSS_GPT2_DIR names them") {
  const char* directory = std::getenv("ISOLOSS_GPT2_DIR");
  if (directory == nullptr) return;
  Tokenizer tokenizer = load_tokenizer(std::string("gpt2:") + directory);
  CHECK(tokenizer.vocab_size() == 50257);
  CHECK(tokenizer.end_of_text() == 50256);
  const json golden = golden_cases();
  for (const json& one : golden["cases"]) {
    CHECK(encode(tokenizer, one["text"].get<std::string>()) == one["ids"].get<Ids>());
  }
}

TEST_CASE("words: contractions, runs, and the space that goes with the next word") {
  using Words = std::vector<std::string>;
  CHECK(words("they've 'til we'LL") == Words{"they", "'ve", " '", "til", " we", "'", "LL"});
  CHECK(words("a  b\n\n c\t") == Words{"a", " ", " b", "\n\n", " c", "\t"});
  CHECK(words("x1y2 3.5!?") == Words{"x", "1", "y", "2", " 3", ".", "5", "!?"});
  CHECK(words("  ") == Words{"  "});
  CHECK(words("\xc2\xa0\xc2\xa0z") == Words{"\xc2\xa0", "\xc2\xa0", "z"});
  CHECK(words("\xff\xfe!") == Words{"\xff\xfe!"});  // invalid bytes are neither letters, numbers nor spaces
  CHECK(words("\x1c") == Words{"\x1c"});
}

TEST_CASE("text in pieces has the words of the whole, wherever it is cut") {
  Philox random(5);
  const std::string_view parts[] = {" ",    "  ", "\n",          "'",        "'re",          "r",
                                    "e",    "12", "a",           "\xc3\xa9", "\xe2\x80\xa8", "\xf0\x9f\x99\x82",
                                    "\xff", ".",  "\xe4\xb8\xad"};
  for (int round = 0; round < 300; ++round) {
    std::string text;
    while (text.size() < 60) text += parts[random.below(std::size(parts))];
    std::vector<std::string> streamed;
    const auto use = [&](std::string_view word) { streamed.emplace_back(word); };
    WordStream stream;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t take = std::min(text.size() - at, 1 + static_cast<std::size_t>(random.below(9)));
      stream.add(std::string_view(text).substr(at, take), use);
      at += take;
    }
    stream.finish(use);
    REQUIRE(streamed == words(text));
  }
}

TEST_CASE("a word without end is cut between characters, so that memory stays bounded") {
  WordStream stream;
  std::string all;
  std::size_t longest = 0;
  bool whole_characters = true;
  const auto use = [&](std::string_view word) {
    longest = std::max(longest, word.size());
    whole_characters = whole_characters && word.size() % 3 == 0;
    all += word;
  };
  std::string text;
  for (int i = 0; i < 900'000; ++i) text += "\xe4\xb8\xad";
  for (std::size_t at = 0; at < text.size(); at += 65'536) stream.add(std::string_view(text).substr(at, 65'536), use);
  stream.finish(use);
  CHECK(all == text);
  CHECK(longest <= WordStream::kLongestWord);
  CHECK(whole_characters);
}

TEST_CASE("bytes: every byte is its own id, 256 is the end of text") {
  Tokenizer tokenizer = load_tokenizer("bytes");
  CHECK(tokenizer.vocab_size() == 257);
  CHECK(tokenizer.end_of_text() == 256);
  CHECK(encode(tokenizer, std::string_view("A\0\xff", 3)) == Ids{65, 0, 255});
  CHECK(tokenizer.decode(Ids{72, 105, 256}) == "Hi<|endoftext|>");
  CHECK(tokenizer.bytes_of_token(65) == 1);
  CHECK(tokenizer.bytes_of_token(256) == 0);
  CHECK(contains(input_error([&] { (void)tokenizer.decode(Ids{257}); }), "vocabulary of 257, got 257"));
}

TEST_CASE("any bytes survive encoding and decoding") {
  Tokenizer tokenizer(gpt2_vocabulary("tests/golden/gpt2"), "golden");
  Philox random(11);
  for (const std::size_t size : {1, 2, 3, 10, 100, 5000}) {
    const std::string bytes = random_bytes(random, size);
    CHECK(tokenizer.decode(encode(tokenizer, bytes)) == bytes);
  }
}

TEST_CASE("words of every length are merged as the definition says: the lowest rank, leftmost first") {
  StoryGenerator stories;
  BpeTrainer trainer;
  for (int i = 0; i < 20; ++i) trainer.add(stories.next());
  trainer.end_document();
  Tokenizer tokenizer(trainer.train(700), "trained");
  const std::vector<Merge>& merges = tokenizer.vocabulary().merges;
  const auto by_definition = [&](std::string_view word) {
    Ids ids;
    for (const char c : word) ids.push_back(static_cast<unsigned char>(c));
    for (;;) {
      std::size_t best = merges.size(), place = 0;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        for (std::size_t rank = 0; rank < best; ++rank) {
          if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) best = rank, place = i;
        }
      }
      if (best == merges.size()) return ids;
      ids[place] = merges[best].merged;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
  };
  Philox random(6);
  const std::string_view letters = "eeettaaooinnshhrdl";
  for (const std::size_t size : {1, 2, 5, 9, 23, 24, 47, 48, 49, 50, 64, 100, 200}) {
    for (int round = 0; round < 4; ++round) {
      std::string word;
      while (word.size() < size) word += letters[random.below(letters.size())];
      CAPTURE(word);
      const Ids expected = by_definition(word);
      CHECK(encode(tokenizer, word) == expected);
      CHECK(encode(tokenizer, word) == expected);  // from the cache, where it is short
    }
  }
}

TEST_CASE("tokenizer.json: saved and loaded again, the ids are the same") {
  const TemporaryFolder folder;
  for (const bool bytes : {true, false}) {
    Tokenizer original = bytes ? load_tokenizer("bytes") : Tokenizer(gpt2_vocabulary("tests/golden/gpt2"), "golden");
    original.save(folder.path() / "tokenizer.json");
    Tokenizer loaded = load_tokenizer((folder.path() / "tokenizer.json").string());
    CHECK(loaded.vocab_size() == original.vocab_size());
    CHECK(loaded.end_of_text() == original.end_of_text());
    CHECK(loaded.kind() == (bytes ? "bytes" : "bpe"));
    Philox random(2);
    const std::string text = random_bytes(random, 3000) + " and it's The quick brown fox";
    CHECK(encode(loaded, text) == encode(original, text));
    CHECK(tokenizer_json(loaded.vocabulary()) == tokenizer_json(original.vocabulary()));
  }
}

TEST_CASE(
    "a tokenizer.json beside shards says what they were made with where no meta.json does, for any tokenizer too") {
  const TemporaryFolder folder;
  const auto shard = folder.path() / "train.bin";
  CHECK(tokenizer_beside(shard, false).empty());
  load_tokenizer("bytes").save(folder.path() / "tokenizer.json");
  const std::string identity = tokenizer_identity(folder.path() / "tokenizer.json");
  CHECK(identity.size() == 64);
  for (const bool any : {false, true}) CHECK(tokenizer_beside(shard, any) == identity);
  folder.write("meta.json", R"({"tokenizer_sha256": "another"})");
  CHECK(tokenizer_beside(shard, true) == "another");
  CHECK(contains(input_error([&] { tokenizer_beside(shard, false); }), "--any-tokenizer takes it"));
}

TEST_CASE("foreign and hostile tokenizer files are refused with their reason") {
  json good = json::parse(tokenizer_json(gpt2_vocabulary("tests/golden/gpt2")));
  const auto error_of = [](const json& file) {
    return input_error([&] { Tokenizer t(parse_tokenizer_json(file.dump(), "f.json"), "f.json"); });
  };
  REQUIRE(error_of(good).empty());
  struct Bad {
    const char* path;
    json value;
    const char* says;
  };
  const Bad cases[] = {
      {"/model/type", "Unigram", "type BPE, got 'Unigram'"},
      {"/model/type", nullptr, ""},
      {"/model", 3, "with a model"},
      {"/model/vocab", json::array(), "tokens and ids"},
      {"/model/vocab/a", -1, "an id below"},
      {"/model/vocab/a", 1.5, "an id below"},
      {"/model/vocab/a", 66, "twice"},
      {"/model/vocab/a", 16'000'000, "without gaps"},
      {"/model/vocab/\u2581x", 100'000, "without gaps"},
      {"/model/merges", 7, "array of merges"},
      {"/model/merges/0", "ab", "two tokens"},
      {"/model/merges/0", "a b c", "two tokens"},
      {"/model/merges/0", json::array({"a"}), "two tokens"},
      {"/model/merges/0", "zz yy", "in the vocabulary"},
      {"/model/dropout", 0.1, "dropout"},
      {"/model/byte_fallback", true, "byte_fallback"},
      {"/model/ignore_merges", true, "ignore_merges"},
      {"/normalizer", json{{"type", "NFC"}}, "normalizer null, got type 'NFC'"},
      {"/pre_tokenizer/type", "Metaspace", "ByteLevel, got type 'Metaspace'"},
      {"/pre_tokenizer/add_prefix_space", true, "add_prefix_space false"},
      {"/pre_tokenizer/use_regex", false, "use_regex true"},
      {"/post_processor", json{{"type", "TemplateProcessing"}}, "post_processor"},
      {"/added_tokens/0/special", false, "only special"},
      {"/added_tokens/0/id", 66, "twice"},
      {"/added_tokens/0/content", 5, "added_tokens with"},
      {"/added_tokens", "x", "array of added_tokens"},
  };
  for (const Bad& bad : cases) {
    json file = good;
    file[json::json_pointer(bad.path)] = bad.value;
    const std::string error = error_of(file);
    CAPTURE(bad.path);
    CAPTURE(error);
    CHECK(contains(error, bad.says));
    CHECK(error.empty() == std::string_view(bad.says).empty());
    CHECK_FALSE(contains(error, "\n"));
  }
  json no_byte = good;
  no_byte["model"]["vocab"]["qqq"] = no_byte["model"]["vocab"]["\u0100"];  // byte 0, which no merge needs
  no_byte["model"]["vocab"].erase("\u0100");
  CHECK(contains(error_of(no_byte), "none for byte 0"));
  CHECK(contains(input_error([] { parse_tokenizer_json("{\"model\": ", "f.json"); }), "f.json byte"));
  CHECK(contains(input_error([] { parse_tokenizer_json("{\"version\": 1e999}", "f.json"); }),
                 "[f.json byte 17] expected JSON, got 1e999, a number beyond"));
  CHECK(contains(input_error([] { parse_tokenizer_json("[1]", "f.json"); }), "other JSON"));
  CHECK(contains(input_error([] { load_tokenizer("bpe:300"); }), "yet to be trained"));
  CHECK(contains(input_error([] { load_tokenizer("/nowhere/tokenizer.json"); }), "/nowhere"));
}

}  // namespace isoloss
