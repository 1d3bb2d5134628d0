#include "data/corpus.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "data/stories.h"
#include "tests/data/compress.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {
struct CollectPieces final : DocumentSink {
  void text(std::string_view piece) override { open += piece; }
  void end_document() override { documents.push_back(std::exchange(open, {})); }
  std::string open;
  std::vector<std::string> documents;
};

std::vector<std::string> documents_of(Corpus& corpus) {
  CollectPieces sink;
  REQUIRE(corpus.read(sink, [](std::uint64_t done, std::uint64_t total) {
    CHECK(done <= total);
    return true;
  }));
  return sink.documents;
}
/// Outside of any assertion, which would catch what reading throws.
void read_all(const std::filesystem::path& file) {
  CollectPieces sink;
  Corpus({file.string()}, CorpusOptions{}).read(sink, [](std::uint64_t, std::uint64_t) { return true; });
}
}  // namespace

TEST_CASE("a folder is read recursively and in order; other files are passed over and listed") {
  const TemporaryFolder folder;
  folder.write("b.txt", "b");
  folder.write("a/z.md.gz", gzip("z"));
  folder.write("a/lines.jsonl.zst", zstd("{\"text\":\"l1\"}\n{\"text\":\"l2\"}\n"));
  folder.write("c.text.xz", xz("c"));
  folder.write("picture.png", "no");
  folder.write(".hidden.txt", "no");
  folder.write(".git/x.txt", "no");
  Corpus corpus({folder.path().string()}, CorpusOptions{});
  CHECK(corpus.passed_over().size() == 1);
  CHECK(corpus.can_be_read_twice());
  CHECK(documents_of(corpus) == std::vector<std::string>{"l1", "l2", "z", "b", "c"});
  CHECK(corpus.sources()[2].sha256 == sha256_of_file(folder.path() / "b.txt"));
}

TEST_CASE("JSON Lines under every ending, in a folder and by name, and only what is JSON Lines") {
  const TemporaryFolder folder;
  const auto lines = [](const std::string& text) { return "{\"url\":\"u\",\"text\":\"" + text + "\"}\n"; };
  folder.write("a.json", lines("a"));
  folder.write("b.json.gz", gzip(lines("b")));
  folder.write("c.ndjson", lines("c"));
  folder.write("d.JSONL", lines("d"));
  folder.write("e.JSON.ZST", zstd("\xEF\xBB\xBF" + lines("e")));
  folder.write("f.TXT", "f");
  folder.write("package.json", "{\n  \"text\": \"no\"\n}\n");
  folder.write("list.json", "[{\"text\": \"no\"}]\n");
  Corpus corpus({folder.path().string()}, CorpusOptions{});
  CHECK(documents_of(corpus) == std::vector<std::string>{"a", "b", "c", "d", "e", "f"});
  CHECK(corpus.passed_over().size() == 2);
  CHECK(corpus.warnings().empty());
  const auto read = [](const std::filesystem::path& file) {
    Corpus one({file.string()}, CorpusOptions{});
    return documents_of(one);
  };
  CHECK(contains(input_error([&] { read_all(folder.path() / "package.json"); }),
                 "package.json line 1] expected a JSON object"));
  CHECK(contains(input_error([&] { read_all(folder.path() / "list.json"); }), "an array; jq"));
  CHECK(read(folder.write("nothing_said", lines("g"))) == std::vector<std::string>{"g"});
  Corpus named_text({folder.write("lines.txt", lines("h")).string()}, CorpusOptions{});
  CHECK(documents_of(named_text) == std::vector<std::string>{lines("h")});
  REQUIRE(named_text.warnings().size() == 1);
  CHECK(contains(named_text.warnings()[0], "begins like JSON Lines"));
}

TEST_CASE("a byte order mark is no text, in each file and in compressed ones") {
  const TemporaryFolder folder;
  const std::string text = "\xEF\xBB\xBF<|endoftext|>\r\none\r\n<|endoftext|>\r\ntwo\r\n";
  Corpus corpus({folder.write("a.txt", text).string(), folder.write("b.txt.gz", gzip(text)).string(),
                 folder.write("c.txt", "\xEF\xBB\xBF").string()},
                CorpusOptions{});
  CHECK(documents_of(corpus) == std::vector<std::string>{"one\r\n", "two\r\n", "one\r\n", "two\r\n"});
  CHECK(corpus.sources()[0].sha256 == sha256_of_file(folder.path() / "a.txt"));
}

TEST_CASE("what is no text is refused with its name, and taken with the option binary") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& content) {
    return input_error([&] { read_all(folder.write("f.txt", content)); });
  };
  const std::string parquet = std::string("PAR1\0\0\0\0", 8), utf16("\xff\xfeH\0i\0", 6);
  CHECK(contains(refused(parquet), "f.txt] expected text in UTF-8, got a Parquet file"));
  CHECK(contains(refused(utf16), "got UTF-16 text; iconv"));
  CHECK(contains(refused(gzip(parquet)), "a Parquet file"));
  std::string late(300'000, 'x');
  late[290'000] = '\0';
  CHECK(contains(refused("\xEF\xBB\xBF" + late), "f.txt byte 290003] expected text, got a NUL byte"));
  CorpusOptions binary;
  binary.binary = true;
  for (const std::string& content : {parquet, utf16, late}) {
    Corpus corpus({folder.write("f.txt", content).string()}, binary);
    CHECK(documents_of(corpus) == std::vector{content});
  }
}

TEST_CASE("lines that were skipped are told of, and counted for each file anew on each reading") {
  const TemporaryFolder folder;
  CorpusOptions options;
  options.json_lines.skip_bad_lines = true;
  Corpus corpus({folder.write("a.jsonl", "{\"text\":\"a\"}\n").string(),
                 folder.write("b.jsonl", "{\"text\":null}\n{\"text\":\"b\"}\n?\n").string()},
                options);
  for (int reading = 0; reading < 2; ++reading) {
    CHECK(documents_of(corpus) == std::vector<std::string>{"a", "b"});
    CHECK(corpus.sources()[0].skipped_lines == 0);
    CHECK(corpus.sources()[1].skipped_lines == 2);
    REQUIRE(corpus.warnings().size() == 1);
    CHECK(contains(corpus.warnings()[0], "2 lines of JSON Lines were skipped (the first: "));
    CHECK(contains(corpus.warnings()[0], "b.jsonl line 1): expected text in the field 'text', got null"));
  }
}

TEST_CASE("another encoding than UTF-8 is warned of, and its bytes are kept") {
  const TemporaryFolder folder;
  Corpus corpus({folder.write("a.txt", "caf\xe9").string()}, CorpusOptions{});
  CHECK(documents_of(corpus) == std::vector<std::string>{"caf\xe9"});
  REQUIRE(corpus.warnings().size() == 1);
  CHECK(contains(corpus.warnings()[0], "a.txt is no UTF-8 from byte 3 on"));
}

TEST_CASE("lines that end with carriage returns alone are warned of where lines separate documents") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.txt", "a\r<|endoftext|>\rb\r").string();
  Corpus corpus({path, folder.write("b.txt", "a\r\nb\r\n").string()}, CorpusOptions{});
  documents_of(corpus);
  REQUIRE(corpus.warnings().size() == 1);
  CHECK(contains(corpus.warnings()[0], "a.txt ends its lines with carriage returns alone"));
  CorpusOptions whole;
  whole.separator = "none";
  Corpus one({path}, whole);
  documents_of(one);
  CHECK(one.warnings().empty());
}

TEST_CASE("what is read twice is warned of, under one name or two; empty files are not") {
  const TemporaryFolder folder;
  const std::string a = folder.write("in/a.txt", "same").string(), b = folder.write("in/b.txt", "same").string();
  const std::string none = folder.write("none.txt", "").string();
  Corpus corpus({a, none, a, none, folder.write("c.txt", "other").string(), b}, CorpusOptions{});
  for (int reading = 0; reading < 2; ++reading) {
    CHECK(documents_of(corpus) == std::vector<std::string>{"same", "same", "other", "same"});
    REQUIRE(corpus.warnings().size() == 2);
    CHECK(contains(corpus.warnings()[0], "a.txt was given twice"));
    CHECK(contains(corpus.warnings()[1], "b.txt holds the bytes of " + a));
  }
}

TEST_CASE("a folder that cannot be read is named; links to folders and to nothing are passed over") {
  const TemporaryFolder folder;
  const auto error = [](const fs::path& input) {
    return input_error([&] { Corpus({input.string()}, CorpusOptions{}); });
  };
  folder.write("in/a.txt", "a");
  folder.write("in/sub/b.txt", "b");
  fs::create_directory_symlink(folder.path() / "in/sub", folder.path() / "in/link");
  fs::create_symlink("nowhere", folder.path() / "in/none.txt");
  Corpus corpus({(folder.path() / "in").string()}, CorpusOptions{});
  CHECK(documents_of(corpus) == std::vector<std::string>{"a", "b"});
  CHECK(corpus.passed_over() == std::vector{folder.path() / "in/link", folder.path() / "in/none.txt"});
  fs::create_symlink("loop", folder.path() / "loop");
  CHECK(contains(error(folder.path() / "loop"), "loop] expected a readable file or folder, got Too many levels"));
  CHECK(contains(error(folder.path() / std::string(300, 'x')), "got File name too long"));
  if (::geteuid() == 0) return;  // who may read everything
  fs::permissions(folder.path() / "in/sub", fs::perms::none);
  CHECK(contains(error(folder.path() / "in"), "in/sub] expected a readable folder, got Permission denied"));
  fs::permissions(folder.path() / "in/sub", fs::perms::owner_all);
}

TEST_CASE("inputs that are not there are named") {
  const TemporaryFolder folder;
  const auto error = [](const std::string& input) { return input_error([&] { Corpus({input}, CorpusOptions{}); }); };
  CHECK(contains(error("/nowhere.txt"), "[/nowhere.txt]"));
  CHECK(contains(error(folder.path().string()), "none in it"));
  for (const char* wrong : {"builtin:tales", "builtin:stories:", "builtin:stories:0", "builtin:stories:x",
                            "builtin:storiesx", "builtin:stories:1.5"}) {
    CHECK(contains(error(wrong), "builtin:stories or"));
  }
}

TEST_CASE("the built-in stories are the same bytes on every machine") {
  Corpus corpus({"builtin:stories:1"}, CorpusOptions{});
  std::string text;
  for (const std::string& story : documents_of(corpus)) text += story;
  REQUIRE(text.size() >= 1'000'000);
  CHECK(text.size() < 1'010'000);
  Sha256 hash;
  hash.update(std::string_view(text).substr(0, 1'000'000));
  CHECK(hash.hex() == "737bcc11d3675c3aa2fe52c184b31129a21c49ef0b2104d73a234495ff822409");
}

TEST_CASE("stories are stories: length, sentences, no mark of a template left over") {
  StoryGenerator stories;
  std::size_t words = 0;
  constexpr int count = 500;
  for (int i = 0; i < count; ++i) {
    const std::string_view story = stories.next();
    const auto spaces = static_cast<std::size_t>(std::count(story.begin(), story.end(), ' '));
    words += spaces;
    CHECK(spaces > 90);
    CHECK(spaces < 900);
    CHECK(story.ends_with('\n'));
    for (const char* wrong :
         {"%", "  ", " \n", "\n\n\n", " .", " ,", "..", "a iron", "a old", " i ", ". a", "? a", "! a"}) {
      CAPTURE(wrong);
      CHECK_FALSE(contains(story, wrong));
    }
  }
  CHECK(words / count > 250);
  CHECK(words / count < 600);
}

}  // namespace isoloss
