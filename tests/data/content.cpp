#include "data/content.h"

#include <doctest/doctest.h>

#include <utility>

#include "tests/data/compress.h"
#include "tests/data/temporary.h"

namespace isoloss {

using namespace std::string_view_literals;

namespace {
/// As UTF-16 or UTF-32, without a byte order mark.
std::string widened(std::string_view text, std::size_t bytes, bool big_endian) {
  std::string out;
  for (const char c : text) {
    std::string unit(bytes, '\0');
    unit[big_endian ? bytes - 1 : 0] = c;
    out += unit;
  }
  return out;
}
}  // namespace

TEST_CASE("files that are no text are named, with the way to text") {
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  const std::string line = "Hello world, this is text\n";
  const std::pair<std::string, const char*> heads[] = {
      {std::string("PAR1\0\0\0\0\25\4\25PAR1", 15), "a Parquet file; write its text column as JSON Lines"},
      {gzip("x"), "a gzip file"},
      {zstd("x"), "a zstd file"},
      {xz("x"), "an xz file"},
      {"BZh91AY&SY....", "a bzip2 file; bunzip2"},
      {"PK\x03\x04....", "a zip or PyTorch file"},
      {"%PDF-1.7\n", "a PDF file"},
      {std::string("SQLite format 3\0", 16), "an SQLite database"},
      {tar, "a tar archive"},
      {"\xff\xfe" + widened(line, 2, false), "UTF-16 text; iconv -f UTF-16 -t UTF-8"},
      {"\xfe\xff" + widened(line, 2, true), "UTF-16 text"},
      {"\xff\xfe\xe5\x65\x2c\x67", "UTF-16 text"},  // 日本: no zero bytes tell, the mark alone does
      {"\xfe\xff\x65\xe5\x67\x2c", "UTF-16 text"},
      {widened(line, 2, false), "UTF-16 text"},
      {widened(line, 2, true), "UTF-16 text"},
      {std::string("\xff\xfe\0\0", 4) + widened(line, 4, false), "UTF-32 text"},
      {widened(line, 4, false), "UTF-32 text"},
      {widened(line, 4, true), "UTF-32 text"},
  };
  for (const auto& [head, name] : heads) {
    CAPTURE(name);
    CHECK(not_text(head).starts_with(name));
  }
  for (const std::string_view text : {""sv, "P"sv, "text\n"sv, "\xEF\xBB\xBFtext"sv, "\xe9t\xe9"sv, "PARAGRAPH 1"sv}) {
    CAPTURE(text);
    CHECK(not_text(text).empty());
  }
}

TEST_CASE("another encoding is noticed, a stray byte is not") {
  const std::string good = "caf\xc3\xa9 na\xc3\xafve \xe4\xb8\xad";
  CHECK(other_encoding(good) == good.size());
  CHECK(other_encoding(good + "\xff") == good.size() + 1);
  CHECK(other_encoding("plain ASCII") == 11);
  CHECK(other_encoding("one \xc3\xa9 and one \xe9 are a mistake, not an encoding") == 47);
  CHECK(other_encoding("the caf\xe9 of na\xefve people") == 7);
  const std::string cut = std::string(kHeadBytes - 1, 'x') + "\xc3";
  CHECK(other_encoding(cut) == cut.size());
}

}  // namespace isoloss
