#include "tools/tokenize/tokenize.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "data/bpe_trainer.h"
#include "data/pretokenize.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/philox.h"
#include "tools/common/program.h"
#include "tools/tokenize/output_folder.h"
#include "tools/tokenize/shard_set.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {
/// Every document to the shards of its split.
class Encoding final : public DocumentSink {
 public:
  Encoding(Tokenizer& tokenizer, const TokenizeOptions& options, const fs::path& folder)
      : tokenizer_(tokenizer),
        options_(options),
        key_(mix(options.seed, hash_name("tokenize.split"))),
        val_below_(static_cast<std::uint64_t>(std::llround(options.val_fraction * 0x1p32))),
        train_{.shards = ShardSet(folder, "train", id_bytes(), options.shard_tokens)},
        val_{.shards = ShardSet(folder, "val", id_bytes(), options.shard_tokens)} {}

  void text(std::string_view piece) override {
    if (split_ == nullptr) begin_document();
    split_->bytes += piece.size();
    words_.add(piece, [this](std::string_view word) { tokenizer_.encode_word(word, ids_); });
    if (ids_.size() >= std::size_t{1} << 16) flush();
  }

  void end_document() override {
    words_.finish([this](std::string_view word) { tokenizer_.encode_word(word, ids_); });
    flush();
    split_ = nullptr;
  }

  void finish(Meta& meta) {
    train_.shards.finish();
    val_.shards.finish();
    if (val_.documents == 0 && val_below_ > 0) fill_validation();
    meta.train = describe(train_);
    meta.val = describe(val_);
  }
  std::uint64_t tokens() const { return train_.shards.tokens() + val_.shards.tokens(); }

 private:
  struct Split {
    ShardSet shards;
    std::uint64_t documents = 0, bytes = 0, last_document = 0;  ///< last: number of its first token
  };

  int id_bytes() const { return tokenizer_.vocab_size() > 65536 ? 4 : 2; }

  void begin_document() {
    const std::uint64_t number = train_.documents + val_.documents;
    split_ = number > 0 && philox(key_, 0, number)[0] < val_below_ ? &val_ : &train_;
    if (split_->documents > 0) {
      if (!tokenizer_.end_of_text()) {
        fail_input(options_.tokenizer, fmt::format("a token {} to stand between documents", kEndOfText), "none");
      }
      split_->shards.append(std::array{*tokenizer_.end_of_text()});
    }
    split_->last_document = split_->shards.tokens();
    ++split_->documents;
  }

  void flush() {
    split_->shards.append(ids_);
    ids_.clear();
  }

  /// No document was drawn for validation: the last one is moved there, or the end of the only one.
  void fill_validation() {
    const std::uint64_t tokens = train_.shards.tokens();
    const bool only_one = train_.documents == 1;
    const auto share = static_cast<std::uint64_t>(std::llround(options_.val_fraction * static_cast<double>(tokens)));
    const std::uint64_t begin = only_one ? tokens - std::max<std::uint64_t>(share, 1) : train_.last_document;
    if (begin == 0) {
      warn("there is too little text for a validation split; val is left out");
      return;
    }
    train_.shards.move_tail(begin, val_.shards,
                            [this](std::uint32_t id) { val_.bytes += tokenizer_.bytes_of_token(id); });
    val_.shards.finish();
    if (!only_one) {
      train_.shards.truncate(begin - 1);  // the end of text that stood before it
      --train_.documents;
    }
    train_.bytes -= val_.bytes;
    val_.documents = 1;
  }

  MetaSplit describe(const Split& split) const {
    return {split.documents, split.shards.tokens(), split.bytes, split.shards.describe()};
  }

  Tokenizer& tokenizer_;
  const TokenizeOptions& options_;
  std::uint64_t key_, val_below_;
  Split train_, val_;
  Split* split_ = nullptr;
  WordStream words_;
  std::vector<std::uint32_t> ids_;
};

class Counting final : public DocumentSink {
 public:
  explicit Counting(BpeTrainer& trainer) : trainer_(trainer) {}
  void text(std::string_view piece) override { trainer_.add(piece); }
  void end_document() override { trainer_.end_document(); }

 private:
  BpeTrainer& trainer_;
};

constexpr std::string_view kTrain = "bpe:";

std::uint32_t bpe_size(std::string_view spec) {
  constexpr std::uint32_t largest = 1u << 20;
  const std::string_view digits = spec.substr(kTrain.size());
  std::uint32_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  if (error != std::errc{} || end != digits.data() + digits.size() || size < BpeTrainer::kSmallestSize ||
      size > largest) {
    fail_input("--tokenizer", fmt::format("bpe:SIZE with SIZE from {} to {}", BpeTrainer::kSmallestSize, largest),
               fmt::format("'{}'", spec));
  }
  return size;
}

void warn_of_lacks(const BpeTrainer& trainer, std::size_t learned, std::size_t wanted) {
  const auto percent = [&](std::uint64_t bytes) {
    return 100 * static_cast<double>(bytes) / static_cast<double>(trainer.bytes());
  };
  if (trainer.bytes_left_out() > 0) {
    warn(fmt::format(
        "{:.1f} % of the text taught the tokenizer nothing: of words of more than {} bytes the first {} MiB "
        "are counted",
        percent(trainer.bytes_left_out()), BpeTrainer::kLongestWord, BpeTrainer::kMostPieces >> 20));
  }
  if (learned >= wanted) return;
  const std::string forgotten =
      trainer.bytes_forgotten() == 0
          ? ""
          : fmt::format("; its rarest words, {:.1f} % of it, were not counted", percent(trainer.bytes_forgotten()));
  warn(
      fmt::format("the text has pairs for a vocabulary of {} only, not {}: no pair of tokens inside a word comes twice "
                  "any more{}",
                  learned, wanted, forgotten));
}

/// Nothing when interrupted.
std::optional<Tokenizer> train_tokenizer(const TokenizeOptions& options, Corpus& corpus) {
  const std::uint32_t size = bpe_size(options.tokenizer);
  if (!corpus.can_be_read_twice()) {
    fail_input("INPUT", "regular files, because bpe:SIZE reads them twice", "a pipe or a device");
  }
  BpeTrainer trainer;
  Counting sink(trainer);
  Progress progress;
  const bool read = corpus.read(sink, [&](std::uint64_t done, std::uint64_t total) {
    progress.update(static_cast<double>(done), static_cast<double>(total), "counting words");
    return !interrupted();
  });
  progress.finish();
  if (!read) return std::nullopt;
  Progress merging;
  Vocabulary vocabulary = trainer.train(size, [&](std::size_t done, std::size_t total) {
    merging.update(static_cast<double>(done), static_cast<double>(total), "learning merges");
    return !interrupted();
  });
  merging.finish();
  if (interrupted()) return std::nullopt;
  warn_of_lacks(trainer, vocabulary.tokens.size(), size);
  return Tokenizer(std::move(vocabulary), options.tokenizer);
}

void check(const TokenizeOptions& options) {
  if (!(options.val_fraction >= 0 && options.val_fraction < 1)) {
    fail_input("--val-fraction", "a number from 0 up to, but not including, 1",
               fmt::format("{}", options.val_fraction));
  }
}
}  // namespace

Tokenizer open_tokenizer(const std::string& spec) {
  constexpr std::string_view gpt2 = "gpt2:";
  const bool named = spec == "bytes" || spec.starts_with(kTrain) || (spec.starts_with(gpt2) && spec != gpt2);
  if (!named && !fs::exists(spec)) {
    fail_input("--tokenizer", "bytes, gpt2:DIR, bpe:SIZE or the path of a tokenizer.json", fmt::format("'{}'", spec));
  }
  return load_tokenizer(spec);
}

int tokenize(const TokenizeOptions& options) {
  check(options);
  Corpus corpus(options.inputs, {options.separator, {options.field, options.skip_bad_lines}, options.binary});
  if (!corpus.passed_over().empty()) {
    say(fmt::format(
        "passing over {} that are not .txt, .text, .md, .jsonl, .ndjson or JSON Lines named .json, such as {}",
        corpus.passed_over().size(), corpus.passed_over().front().string()));
  }
  const bool train = options.tokenizer.starts_with(kTrain);
  if (train) bpe_size(options.tokenizer);
  std::optional<Tokenizer> tokenizer;
  if (!train) tokenizer = open_tokenizer(options.tokenizer);
  OutputFolder folder(options.out, options.force);
  if (train) tokenizer = train_tokenizer(options, corpus);
  if (!tokenizer) return kInterrupted;

  Encoding encoding(*tokenizer, options, folder.staging());
  Progress progress;
  const double start = now_seconds();
  const bool finished = corpus.read(encoding, [&](std::uint64_t done, std::uint64_t total) {
    const double megabytes = static_cast<double>(done) / 1e6;
    progress.update(static_cast<double>(done), static_cast<double>(total),
                    fmt::format("{} tokens  {:.1f} MB/s", grouped(static_cast<double>(encoding.tokens())),
                                megabytes / (now_seconds() - start)));
    return !interrupted();
  });
  progress.finish();
  if (!finished) return kInterrupted;
  for (const std::string& line : corpus.warnings()) warn(line);
  if (encoding.tokens() == 0) fail_input(options.inputs.front(), "text", "no document that is not empty");

  Meta meta;
  encoding.finish(meta);
  const std::string json = tokenizer_json(tokenizer->vocabulary());
  Sha256 hash;
  hash.update(json);
  meta.tokenizer = tokenizer->kind();
  meta.tokenizer_sha256 = hash.hex();
  meta.vocabulary = tokenizer->vocab_size();
  meta.end_of_text = tokenizer->end_of_text();
  meta.separator = options.separator;
  meta.field = options.field;
  meta.val_fraction = options.val_fraction;
  meta.seed = options.seed;
  meta.bytes_per_token =
      static_cast<double>(meta.train.bytes + meta.val.bytes) / static_cast<double>(encoding.tokens());
  meta.sources = corpus.sources();
  write_file_atomically(folder.staging() / "tokenizer.json", json);
  write_file_atomically(folder.staging() / "meta.json", meta_json(meta));
  folder.commit();
  for (const auto& [name, split] : {std::pair("train", &meta.train), std::pair("val  ", &meta.val)}) {
    say(fmt::format("{} {:>13} tokens  {:>9} documents  {:>13} bytes  {} shards", name,
                    grouped(static_cast<double>(split->tokens)), grouped(static_cast<double>(split->documents)),
                    grouped(static_cast<double>(split->bytes)), split->shards.size()));
  }
  say(fmt::format("{} ids, {:.3f} bytes per token, in {}", grouped(meta.vocabulary), meta.bytes_per_token,
                  options.out.string()));
  return 0;
}

void print_ids(Tokenizer& tokenizer, std::FILE* in, std::FILE* out) {
  std::vector<std::uint32_t> ids;
  WordStream words;
  std::string line;
  bool first = true;
  const auto print = [&](std::string_view word) {
    ids.clear();
    tokenizer.encode_word(word, ids);
    for (const std::uint32_t id : ids) {
      line += first ? "" : " ";
      line += fmt::format_int(id).c_str();
      first = false;
    }
  };
  std::vector<char> block(std::size_t{1} << 16);
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), in)) {
    words.add(std::string_view(block.data(), got), print);
    std::fwrite(line.data(), 1, line.size(), out);
    line.clear();
  }
  if (std::ferror(in) != 0) fail_run("standard input", "text", "a read error");
  words.finish(print);
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), out);
}

void print_decoded(const Tokenizer& tokenizer, std::FILE* in, std::FILE* out) {
  std::uint64_t number = 0;
  std::string digits;
  const auto print = [&] {
    if (digits.empty()) return;
    std::uint32_t id = 0;
    const char* const last = digits.data() + digits.size();
    const auto [end, error] = std::from_chars(digits.data(), last, id);
    const std::string expected = fmt::format("an id below the vocabulary of {}", tokenizer.vocab_size());
    if (error != std::errc{} || end != last || id >= tokenizer.vocab_size()) {
      fail_input(fmt::format("standard input, id number {}", number), expected, fmt::format("'{}'", digits));
    }
    const std::string_view bytes = tokenizer.token(id);
    std::fwrite(bytes.data(), 1, bytes.size(), out);
    digits.clear();
    ++number;
  };
  constexpr std::size_t longest = 32;  // no id has that many digits; the rest of such a word says no more
  for (int c; (c = std::getc(in)) != EOF;) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      print();
    } else if (digits.size() < longest) {
      digits += static_cast<char>(c);
    }
  }
  if (std::ferror(in) != 0) fail_run("standard input", "ids", "a read error");
  print();
}

}  // namespace isoloss
