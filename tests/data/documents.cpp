#include "data/documents.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "data/byte_source.h"
#include "data/corpus.h"
#include "tests/data/compress.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
class Memory final : public ByteSource {
 public:
  Memory(std::string_view bytes, std::size_t block) : bytes_(bytes), block_(block) {}
  std::size_t read(char* out, std::size_t capacity) override {
    const std::size_t take = std::min({capacity, bytes_.size(), block_});
    std::memcpy(out, bytes_.data(), take);
    bytes_.remove_prefix(take);
    return take;
  }
  std::uint64_t consumed() const override { return 0; }
  std::string sha256() override { return {}; }

 private:
  std::string_view bytes_;
  std::size_t block_;
};

struct Collect final : DocumentSink {
  void text(std::string_view piece) override {
    CHECK_FALSE(piece.empty());
    longest = std::max(longest, piece.size());
    open += piece;
  }
  void end_document() override {
    CHECK_FALSE(open.empty());
    documents.push_back(std::exchange(open, {}));
  }
  std::string open;
  std::vector<std::string> documents;
  std::size_t longest = 0;
};

using Documents = std::vector<std::string>;

bool go_on() { return true; }

Documents split(std::string_view text, std::string_view separator, std::size_t block = 1 << 20) {
  Memory source(text, block);
  Collect sink;
  Remarks remarks;
  REQUIRE(read_text(source, "f.txt", Separator(separator), sink, go_on, remarks));
  CHECK(sink.open.empty());
  return sink.documents;
}

Documents json_lines(std::string_view text, std::string_view field = "text", std::size_t block = 1 << 20) {
  Memory source(text, block);
  Collect sink;
  Remarks remarks;
  read_json_lines(source, "f.jsonl", {std::string(field)}, sink, go_on, remarks);
  return sink.documents;
}
}  // namespace

TEST_CASE("the default separator: marker lines, and nothing but marker lines") {
  const std::string text =
      "one\ntwo\n<|endoftext|>\nthree <|endoftext|>\n <|endoftext|>\n<|endoftext|>\r\nfour\n<|endoftext|>";
  for (const std::size_t block : {1, 3, 7, 1000}) {
    CAPTURE(block);
    CHECK(split(text, kDefaultSeparator, block) ==
          Documents{"one\ntwo\n", "three <|endoftext|>\n <|endoftext|>\n", "four\n"});
  }
  CHECK(split("", kDefaultSeparator).empty());
  CHECK(split("<|endoftext|>\n<|endoftext|>\n", kDefaultSeparator).empty());
  CHECK(split("no line end", kDefaultSeparator) == Documents{"no line end"});
}

TEST_CASE("blank lines, none, and expressions") {
  CHECK(split("a\nb\n\n \t\n\r\nc\n", "blank-line") == Documents{"a\nb\n", "c\n"});
  CHECK(split("a\n\n<|endoftext|>\nb", "none") == Documents{"a\n\n<|endoftext|>\nb"});
  CHECK(split("intro\nChapter 1\nx\nChapter 22\ny\nno Chapter\n", "^Chapter \\d+$") ==
        Documents{"intro\n", "x\n", "y\nno Chapter\n"});
  CHECK(split("\xff\xfe\n---\n\xc3\n", "^-+$") == Documents{"\xff\xfe\n", "\xc3\n"});
  CHECK(contains(input_error([] { Separator separator("a("); }), "[--separator character 2]"));
  CHECK(contains(input_error([] { Separator separator(""); }), "nothing"));
}

TEST_CASE("a line without end is text that passes through, whatever it holds") {
  std::string text(3 * Separator::kLongestLine, 'x');
  text += "\n<|endoftext|>\nafter";
  for (const std::size_t block : {std::size_t{1000}, std::size_t{1} << 20}) {
    const Documents documents = split(text, kDefaultSeparator, block);
    REQUIRE(documents.size() == 2);
    CHECK(documents[0].size() == 3 * Separator::kLongestLine + 1);
    CHECK(documents[1] == "after");
  }
  Memory source(text, 4096);
  Collect sink;
  Remarks remarks;
  read_text(source, "f.txt", Separator(".*"), sink, go_on, remarks);
  CHECK(sink.longest <= Separator::kLongestLine + 4096);
  CHECK(sink.documents.size() == 1);  // the two short lines match and separate; the long one does not
}

TEST_CASE("reading stops when it is told to") {
  Memory source("abc\n", 1);
  Collect sink;
  Remarks remarks;
  CHECK_FALSE(read_text(
      source, "f.txt", Separator("none"), sink, [] { return false; }, remarks));
  CHECK(sink.documents.empty());
}

TEST_CASE("JSON Lines: the field of every line, errors with their line") {
  const std::string lines =
      "{\"text\": \"one\\ntwo\"}\n\n{\"id\": {\"text\": \"no\"}, \"text\": "
      "\"\\u00e4\\ud83d\\ude42\"}\r\n{\"text\":\"\"}\n{\"text\":\"end\"}";
  for (const std::size_t block : {1, 10, 1000}) {
    CHECK(json_lines(lines, "text", block) == Documents{"one\ntwo", "\xc3\xa4\xf0\x9f\x99\x82", "end"});
  }
  CHECK(json_lines("{\"body\":\"b\",\"text\":1}", "body") == Documents{"b"});
  CHECK(contains(input_error([] { json_lines("{\"text\":\"a\"}\n{\"body\":1}\n"); }),
                 "[f.jsonl line 2] expected a field 'text'"));
  CHECK(contains(input_error([] { json_lines("{\"text\":5}"); }), "got number"));
  CHECK(contains(input_error([] { json_lines("[1]"); }), "line 1] expected a JSON object"));
  CHECK(contains(input_error([] { json_lines("{\"text\":\"a\"\n"); }),
                 "line 1 byte 12] expected a JSON object on one line, got a syntax error"));
  CHECK(contains(input_error([] { json_lines("{\"text\":\"a\"}\n{\"text\":\"b\",\"score\":1e999}\n"); }),
                 "[f.jsonl line 2 byte 25] expected a JSON object on one line, got 1e999, a number beyond"));
  CHECK(json_lines("\xEF\xBB\xBF{\"text\":\"a\"}\n\xEF\xBB\xBF\n") == Documents{"a"});
}

TEST_CASE("bad lines of JSON Lines are skipped and counted when that is asked for") {
  const std::string lines = "{\"text\":\"a\"}\n{\"text\":null}\nbroken\n\n{\"text\":\"b\"}\n" +
                            std::string(66 << 20, ' ') + "\n{\"text\":\"c\"}\n{\"text\":";
  Memory source(lines, 1 << 20);
  Collect sink;
  Remarks remarks;
  CHECK(read_json_lines(source, "f.jsonl", {"text", true}, sink, go_on, remarks));
  CHECK(sink.documents == Documents{"a", "b", "c"});
  CHECK(remarks.bad_lines.count == 4);
  CHECK(remarks.bad_lines.first == "f.jsonl line 2");
  CHECK(remarks.why_bad == "expected text in the field 'text', got null");
  CHECK(contains(input_error([&] { json_lines(lines.substr(35)); }), "line 2] expected a line of at most 64 MiB"));
  // Passing lines over is no advice where every line is like that.
  CHECK(contains(input_error([&] { json_lines("{\"text\":\"a\"}\n7\n"); }), "number (--skip-bad-lines passes such"));
  CHECK_FALSE(contains(input_error([&] { json_lines("7\n"); }), "skip"));
}

TEST_CASE("<|endoftext|> where it separates nothing though somebody meant it to is counted") {
  const auto remarks_of = [](std::string_view text, std::string_view separator, std::size_t block) {
    Memory source(text, block);
    Collect sink;
    Remarks remarks;
    read_text(source, "f.txt", Separator(separator), sink, go_on, remarks);
    return remarks;
  };
  const std::string filler(2 * Separator::kLongestLine, 'x');
  const std::string text =
      "<|endoftext|>\none.<|endoftext|>\n <|endoftext|>\t\r\nin <|endoftext|> the middle\n<|endoftext|>two\n|>\n" +
      filler + "<|endoftext|> \n<|endoftext|>" + filler + "\n" + filler + "\nend <|endoftext|>";
  for (const std::size_t block : {std::size_t{5}, std::size_t{4096}, std::size_t{1} << 20}) {
    CAPTURE(block);
    const Remarks remarks = remarks_of(text, kDefaultSeparator, block);
    CHECK(remarks.marker_alone.count == 1);
    CHECK(remarks.marker_alone.first == "f.txt line 3");
    CHECK(remarks.marker_beside.count == 5);
    CHECK(remarks.marker_beside.first == "f.txt line 2");
  }
  CHECK(remarks_of(text, "blank-line", 4096).marker_alone.count == 2);
  CHECK(remarks_of(text, "^\\s*<\\|endoftext\\|>\\s*$", 4096).marker_alone.count == 0);
  Memory source("{\"text\":\"a<|endoftext|>\\n\"}\n{\"text\":\"<|endoftext|>\"}\n{\"text\":\"b\"}", 1000);
  Collect sink;
  Remarks remarks;
  read_json_lines(source, "f.jsonl", {}, sink, go_on, remarks);
  CHECK(remarks.marker_in_json.count == 2);
}

TEST_CASE("a compressed file is known by its content, whatever its name is") {
  const TemporaryFolder folder;
  const std::string text = "some text\n";
  const auto read_all = [](const std::filesystem::path& path) {
    const auto source = open_source(path);
    CHECK(source->head(4) == "some");
    std::string all;
    char block[3];
    while (const std::size_t got = source->read(block, sizeof block)) all.append(block, got);
    return all;
  };
  for (const char* name : {"a.txt", "a", "a.gz", "a.ZST", "a.json"}) {
    CAPTURE(name);
    CHECK(read_all(folder.write(name, gzip(text))) == text);
    CHECK(read_all(folder.write(name, zstd(text))) == text);
    CHECK(read_all(folder.write(name, xz(text))) == text);
  }
  CHECK(read_all(folder.write("plain", text)) == text);
  CHECK(uncompressed_name("x/a.TXT.GZ") == "x/a.TXT");
}

TEST_CASE("compressed files: one stream, several behind each other, truncated, corrupt") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 40'000; ++i) text += std::to_string(i * 7919) + "\n";
  const auto read_all = [](const std::filesystem::path& path) {
    const auto source = open_source(path);
    std::string all;
    char block[1000];
    while (const std::size_t got = source->read(block, sizeof block)) all.append(block, got);
    CHECK(source->consumed() == std::filesystem::file_size(path));
    CHECK(source->sha256() == sha256_of_file(path));
    return all;
  };
  CHECK(read_all(folder.write("a.txt", text)) == text);
  struct Format {
    const char* ending;
    std::string whole, first, second;
  };
  const std::string_view all(text);
  const Format formats[] = {{".gz", gzip(text), gzip(all.substr(0, 1000)), gzip(all.substr(1000))},
                            {".zst", zstd(text), zstd(all.substr(0, 1000)), zstd(all.substr(1000))},
                            {".xz", xz(text), xz(all.substr(0, 1000)), xz(all.substr(1000))}};
  for (const Format& format : formats) {
    CAPTURE(format.ending);
    const std::string name = std::string("a.txt") + format.ending;
    CHECK(read_all(folder.write(name, format.whole)) == text);
    CHECK(read_all(folder.write(name, format.first + format.second)) == text);
    for (const std::size_t kept : {std::size_t{0}, std::size_t{5}, format.whole.size() / 2, format.whole.size() - 1}) {
      const auto path = folder.write(name, format.whole.substr(0, kept));
      CHECK(contains(input_error([&] { read_all(path); }), "truncated"));
    }
    std::string corrupt = format.whole;
    for (std::size_t i = corrupt.size() / 2; i < corrupt.size() / 2 + 40; ++i)
      corrupt[i] = static_cast<char>(~corrupt[i]);
    const auto path = folder.write(name, corrupt);
    CHECK(contains(input_error([&] { read_all(path); }), name + "] expected"));
    CHECK(contains(input_error([&] { read_all(folder.write(name, text)); }), name + "] expected"));
  }
}

}  // namespace isoloss
