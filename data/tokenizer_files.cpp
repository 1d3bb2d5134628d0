// Tokenizers as files: OpenAI's encoder.json and vocab.bpe, and Hugging Face's tokenizer.json. Both write a token as
// printable characters, one per byte, in GPT-2's byte alphabet.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <unordered_map>

#include "data/tokenizer.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/utf8.h"

namespace isoloss {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {
/// GPT-2's alphabet (encoder.py, bytes_to_unicode): printable bytes of Latin-1 stand for themselves, the others for the
/// characters from U+0100 on, in order.
constexpr std::array<std::uint32_t, 256> kAlphabet = [] {
  std::array<std::uint32_t, 256> alphabet{};
  std::uint32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    alphabet[byte] = printable ? byte : next++;
  }
  return alphabet;
}();

std::string alphabet_name(std::string_view bytes) {
  std::string name;
  for (const char c : bytes) {
    const std::uint32_t point = kAlphabet[static_cast<unsigned char>(c)];  // below U+0800: one or two bytes of UTF-8
    if (point < 0x80) {
      name += static_cast<char>(point);
    } else {
      name += static_cast<char>(0xc0 | point >> 6);
      name += static_cast<char>(0x80 | (point & 0x3f));
    }
  }
  return name;
}

/// The bytes behind a name; empty where it holds a character outside the alphabet.
std::string alphabet_bytes(std::string_view name) {
  static const std::unordered_map<std::uint32_t, char> reverse = [] {
    std::unordered_map<std::uint32_t, char> map;
    for (std::uint32_t byte = 0; byte < 256; ++byte) map[kAlphabet[byte]] = static_cast<char>(byte);
    return map;
  }();
  std::string bytes;
  while (!name.empty()) {
    const Utf8Character character = decode_utf8(name);
    const auto found = reverse.find(character.code_point);
    if (character.bytes == 0 || found == reverse.end()) return {};
    bytes += found->second;
    name.remove_prefix(static_cast<std::size_t>(character.bytes));
  }
  return bytes;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 60;  // error lines stay readable
  if (text.size() <= longest) return fmt::format("'{}'", text);
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return fmt::format("'{}…'", text.substr(0, end));
}
/// A value for an error line. Arrays and objects are only named: printing them recurses, and a hostile file nests
/// deeply.
std::string shown(const json& value) {
  if (value.is_object() && value.contains("type") && value["type"].is_string()) {
    return fmt::format("type {}", in_quotes(value["type"].get_ref<const std::string&>()));
  }
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return value.is_structured() ? fmt::format("an {}", value.type_name()) : in_quotes(value.dump(-1, ' ', true));
}

using Ids = std::unordered_map<std::string, std::uint32_t>;

/// A JSON object {token: id} whose ids are distinct; they must be dense once the added tokens are there too.
Ids vocabulary_ids(const json& object, std::string_view where) {
  if (!object.is_object() || object.empty()) fail_input(where, "an object of tokens and ids", object.type_name());
  Ids ids;
  std::vector<bool> used;
  for (const auto& [token, id] : object.items()) {
    // No token of a sane vocabulary is that many; it also bounds what a hostile file makes us allocate.
    constexpr std::uint32_t most = 1u << 24;
    const std::uint32_t value = integer_in<std::uint32_t>(id).value_or(most);
    if (value >= most) {
      fail_input(where, fmt::format("an id below {} for token {}", most, in_quotes(token)), shown(id));
    }
    if (value >= used.size()) used.resize(value + 1);
    if (used[value]) fail_input(where, fmt::format("each id once"), fmt::format("id {} twice", value));
    used[value] = true;
    ids.emplace(token, value);
  }
  return ids;
}

/// Fills tokens[] from names in the alphabet; `special` holds raw names that are no bytes of text.
void fill_tokens(const Ids& ids, const Ids& special, std::string_view where, Vocabulary& vocabulary) {
  std::size_t size = 0;
  for (const Ids* group : {&ids, &special}) {
    for (const auto& [token, id] : *group) size = std::max<std::size_t>(size, std::size_t{id} + 1);
  }
  if (size > ids.size() + special.size()) {
    fail_input(where, "ids without gaps", fmt::format("{} tokens and a largest id of {}", ids.size(), size - 1));
  }
  vocabulary.tokens.assign(size, {});
  vocabulary.special.assign(size, false);
  for (const auto& [token, id] : special) {
    if (vocabulary.special[id]) fail_input(where, "each id once", fmt::format("id {} twice", id));
    vocabulary.special[id] = true;
    vocabulary.tokens[id] = token;
    if (token == kEndOfText) vocabulary.end_of_text = id;
  }
  for (const auto& [token, id] : ids) {
    if (vocabulary.special[id]) {
      if (token != vocabulary.tokens[id]) fail_input(where, "each id once", fmt::format("id {} twice", id));
      continue;
    }
    vocabulary.tokens[id] = alphabet_bytes(token);
    if (vocabulary.tokens[id].empty()) fail_input(where, "tokens in GPT-2's byte alphabet", in_quotes(token));
  }
  for (std::size_t id = 0; id < size; ++id) {
    if (vocabulary.tokens[id].empty()) {
      fail_input(where, "ids without gaps", fmt::format("no token for id {} of {}", id, size));
    }
  }
}

void add_merge(const Ids& ids, const std::string& left, const std::string& right, std::string_view where,
               Vocabulary& vocabulary) {
  const auto id_of = [&](const std::string& token) {
    const auto found = ids.find(token);
    if (found == ids.end() || vocabulary.special[found->second]) {
      fail_input(where, "merges of tokens in the vocabulary", in_quotes(token));
    }
    return found->second;
  };
  vocabulary.merges.push_back({id_of(left), id_of(right), id_of(left + right)});
}

/// "left right", as in vocab.bpe and in older tokenizer.json files.
void add_merge_line(const Ids& ids, std::string_view line, std::string_view where, Vocabulary& vocabulary) {
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos) {
    fail_input(where, "a merge of two tokens", in_quotes(line));
  }
  add_merge(ids, std::string(line.substr(0, space)), std::string(line.substr(space + 1)), where, vocabulary);
}

const json& member(const json& object, const char* key) {
  static const json null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

/// A setting that this tokenizer does not have must be absent, null or the value that means the same.
void need(const json& object, const char* key, const json& neutral, std::string_view where) {
  const json& value = member(object, key);
  if (value.is_null() || value == neutral) return;
  fail_input(where, fmt::format("{} {}", key, neutral.dump()), shown(value));
}

bool has_type(const json& object, std::string_view type) {
  return object.is_object() && member(object, "type").is_string() &&
         member(object, "type").get_ref<const std::string&>() == type;
}

void need_gpt2_pipeline(const json& root, std::string_view where) {
  for (const char* key : {"normalizer", "truncation", "padding"}) need(root, key, nullptr, where);
  const json& words = member(root, "pre_tokenizer");
  if (!has_type(words, "ByteLevel")) {
    fail_input(where, "a pre_tokenizer of type ByteLevel", shown(words));
  }
  need(words, "add_prefix_space", false, where);
  if (!member(words, "add_prefix_space").is_boolean()) {
    fail_input(where, "add_prefix_space false in the pre_tokenizer", "none");  // Hugging Face's default is true
  }
  need(words, "use_regex", true, where);
  const json& after = member(root, "post_processor");
  if (!after.is_null() && !has_type(after, "ByteLevel")) {
    fail_input(where, "no post_processor but ByteLevel", shown(after));
  }
}

Ids added_tokens(const json& list, std::string_view where) {
  Ids special;
  if (list.is_null()) return special;
  if (!list.is_array()) fail_input(where, "an array of added_tokens", list.type_name());
  for (const json& token : list) {
    const bool complete = token.is_object() && member(token, "content").is_string() &&
                          member(token, "id").is_number_unsigned() && member(token, "special").is_boolean();
    if (!complete) fail_input(where, "added_tokens with id, content and special", shown(token));
    const auto& content = member(token, "content").get_ref<const std::string&>();
    const auto id = member(token, "id").get<std::uint64_t>();
    if (!member(token, "special").get<bool>()) fail_input(where, "only special added_tokens", in_quotes(content));
    if (id >= (1u << 24) || content.empty()) {
      fail_input(where, "an added token with a name and an id below 16777216",
                 fmt::format("{} {}", in_quotes(content), id));
    }
    if (!special.emplace(content, static_cast<std::uint32_t>(id)).second) {
      fail_input(where, "each added token once", in_quotes(content));
    }
  }
  return special;
}

bool is_bytes(const Vocabulary& vocabulary) {
  const Vocabulary bytes = bytes_vocabulary();
  return vocabulary.merges.empty() && vocabulary.tokens == bytes.tokens && vocabulary.special == bytes.special;
}
}  // namespace

Vocabulary gpt2_vocabulary(const fs::path& directory) {
  const std::string encoder = (directory / "encoder.json").string(), merges = (directory / "vocab.bpe").string();
  Vocabulary vocabulary;
  vocabulary.kind = "gpt2";
  const Ids ids = vocabulary_ids(parse_json(read_file(encoder), encoder), encoder);
  Ids special;
  if (const auto found = ids.find(std::string(kEndOfText)); found != ids.end()) special.insert(*found);
  fill_tokens(ids, special, encoder, vocabulary);
  const std::string text = read_file(merges);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number;
    begin = end + 1;
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    add_merge_line(ids, line, fmt::format("{} line {}", merges, number), vocabulary);
  }
  return vocabulary;
}

Vocabulary parse_tokenizer_json(std::string_view text, std::string_view where) {
  const json root = parse_json(text, where);
  if (!root.is_object() || !member(root, "model").is_object()) {
    fail_input(where, "a Hugging Face tokenizer.json with a model", "other JSON");
  }
  const json& model = member(root, "model");
  // The oldest files leave out the model's type; anything but BPE says so.
  if (!member(model, "type").is_null() && !has_type(model, "BPE")) {
    fail_input(where, "a model of type BPE", shown(member(model, "type")));
  }
  need_gpt2_pipeline(root, where);
  need(model, "dropout", 0.0, where);
  need(model, "continuing_subword_prefix", "", where);
  need(model, "end_of_word_suffix", "", where);
  need(model, "byte_fallback", false, where);
  need(model, "ignore_merges", false, where);
  const Ids ids = vocabulary_ids(member(model, "vocab"), where);
  Ids special = added_tokens(member(root, "added_tokens"), where);
  if (const auto found = ids.find(std::string(kEndOfText)); found != ids.end()) special.insert(*found);
  Vocabulary vocabulary;
  fill_tokens(ids, special, where, vocabulary);
  const json& merges = member(model, "merges");
  if (!merges.is_array()) fail_input(where, "an array of merges", merges.type_name());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const json& merge = merges[rank];
    const std::string place = fmt::format("{} merge {}", where, rank);
    if (merge.is_string()) {
      add_merge_line(ids, merge.get_ref<const std::string&>(), place, vocabulary);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      add_merge(ids, merge[0].get<std::string>(), merge[1].get<std::string>(), place, vocabulary);
    } else {
      fail_input(place, "a merge of two tokens", shown(merge));
    }
  }
  vocabulary.kind = is_bytes(vocabulary) ? "bytes" : "bpe";
  return vocabulary;
}

// Written by hand rather than as a json value, because that would sort the vocabulary by name; a reader looks for ids.
std::string tokenizer_json(const Vocabulary& vocabulary) {
  const auto name_of = [&](std::uint32_t id) {
    return vocabulary.special[id] ? vocabulary.tokens[id] : alphabet_name(vocabulary.tokens[id]);
  };
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  const char* separator = "\n";
  for (std::uint32_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (!vocabulary.special[id]) continue;
    fmt::format_to(
        std::back_inserter(out),
        "{}    {{ \"id\": {}, \"content\": {}, \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
        "\"normalized\": false, \"special\": true }}",
        separator, id, json(name_of(id)).dump());
    separator = ",\n";
  }
  out += "\n  ],\n  \"normalizer\": null,\n";
  for (const char* part : {"pre_tokenizer", "post_processor", "decoder"}) {
    fmt::format_to(std::back_inserter(out),
                   "  \"{}\": {{ \"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
                   "\"use_regex\": true }},\n",
                   part);
  }
  out +=
      "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
      "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {";
  separator = "\n";
  for (std::uint32_t id = 0; id < vocabulary.tokens.size(); ++id) {
    fmt::format_to(std::back_inserter(out), "{}      {}: {}", separator, json(name_of(id)).dump(), id);
    separator = ",\n";
  }
  out += "\n    },\n    \"merges\": [";
  separator = "\n";
  for (const Merge& merge : vocabulary.merges) {
    fmt::format_to(std::back_inserter(out), "{}      {}", separator,
                   json(name_of(merge.left) + " " + name_of(merge.right)).dump());
    separator = ",\n";
  }
  out += "\n    ]\n  }\n}\n";
  return out;
}

}  // namespace isoloss
