#include "data/corpus.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "data/stories.h"
#include "tests/data/compress.h"
#include "tests/data/temporary.h"

namespace isoloss {

namespace {
struct Collect final : DocumentSink {
  void text(std::string_view piece) override { open += piece; }
  void end_document() override { documents.push_back(std::exchange(open, {})); }
  std::string open;
  std::vector<std::string> documents;
};

std::vector<std::string> documents_of(Corpus& corpus) {
  Collect sink;
  REQUIRE(corpus.read(sink, [](std::uint64_t done, std::uint64_t total) {
    CHECK(done <= total);
    return true;
  }));
  return sink.documents;
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
  Corpus corpus({folder.path().string()}, kDefaultSeparator, "text");
  CHECK(corpus.passed_over().size() == 1);
  CHECK(corpus.can_be_read_twice());
  CHECK(documents_of(corpus) == std::vector<std::string>{"l1", "l2", "z", "b", "c"});
  CHECK(corpus.sources()[2].sha256 == sha256_of_file(folder.path() / "b.txt"));
}

TEST_CASE("inputs that are not there are named") {
  const TemporaryFolder folder;
  const auto error = [](const std::string& input) {
    return input_error([&] { Corpus({input}, kDefaultSeparator, "text"); });
  };
  CHECK(contains(error("/nowhere.txt"), "[/nowhere.txt]"));
  CHECK(contains(error(folder.path().string()), "none in it"));
  for (const char* wrong : {"builtin:tales", "builtin:stories:", "builtin:stories:0", "builtin:stories:x",
                            "builtin:storiesx", "builtin:stories:1.5"}) {
    CHECK(contains(error(wrong), "builtin:stories or"));
  }
}

TEST_CASE("the built-in stories are the same bytes on every machine") {
  Corpus corpus({"builtin:stories:1"}, kDefaultSeparator, "text");
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
