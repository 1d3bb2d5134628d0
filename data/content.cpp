#include "data/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "kernels/base/utf8.h"

namespace isoloss {

using namespace std::string_view_literals;

namespace {
struct Format {
  std::string_view start, name, advice;
};
// The longest beginnings that are certain: files of token ids, which may begin with anything, are looked up here too.
constexpr Format kFormats[] = {
    {"\x1f\x8b\x08"sv, "a gzip file", "gunzip it first"},
    {"\x28\xb5\x2f\xfd"sv, "a zstd file", "unzstd it first"},
    {"\xfd"
     "7zXZ\0"sv,
     "an xz file", "unxz it first"},
    {"PK\x03\x04"sv, "a zip or PyTorch file", "unzip it first"},
    {"BZh91AY&SY"sv, "a bzip2 file", "bunzip2 it first"},
    {"\x04\x22\x4d\x18"sv, "an lz4 file", "unlz4 it first"},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7-Zip file", "unpack it first"},
    {"Rar!\x1a\x07"sv, "a RAR file", "unpack it first"},
    {"PAR1"sv, "a Parquet file", "write its text column as JSON Lines (.jsonl) first"},
    {"ARROW1\0\0"sv, "an Arrow file", "write its text column as JSON Lines (.jsonl) first"},
    {"Obj\x01"sv, "an Avro file", "write its text as JSON Lines (.jsonl) first"},
    {"SQLite format 3\0"sv, "an SQLite database", "write its text as JSON Lines (.jsonl) first"},
    {"\x89HDF\r\n\x1a\n"sv, "an HDF5 file", ""},
    {"\x93NUMPY"sv, "a NumPy file", ""},
    {"\x80\x04\x95"sv, "a Python pickle", ""},
    {"GGUF"sv, "a GGUF file", ""},
    {"%PDF-"sv, "a PDF file", "pdftotext writes its text"},
    {"{\\rtf"sv, "a Rich Text file", "save it as plain text first"},
    {"\x89PNG\r\n\x1a\n"sv, "a picture", ""},
    {"\xff\xd8\xff"sv, "a picture", ""},
    {"GIF8"sv, "a picture", ""},
    {"\x7f"
     "ELF"sv,
     "a program", ""},
};
constexpr std::string_view kTar = "a tar archive", kSafetensors = "a safetensors file";

const Format* format_of(std::string_view head) {
  const auto* found =
      std::ranges::find_if(kFormats, [&](const Format& format) { return head.starts_with(format.start); });
  return found == std::end(kFormats) ? nullptr : found;
}
bool is_tar(std::string_view head) { return head.size() > 262 && head.substr(257, 5) == "ustar"; }
/// The length of the header in eight bytes, of which the upper ones are zero, then the JSON header itself.
bool is_safetensors(std::string_view head) {
  return head.size() > 16 && head.substr(4, 4) == "\0\0\0\0"sv && head.substr(8, 2) == "{\""sv;
}

/// UTF-16 or UTF-32 by its byte order mark, or by where its zero bytes stand; else empty.
std::string_view wide_encoding(std::string_view head) {
  if (head.starts_with("\xff\xfe\0\0"sv) || head.starts_with("\0\0\xfe\xff"sv)) return "UTF-32";
  if (head.starts_with("\xff\xfe"sv) || head.starts_with("\xfe\xff"sv)) return "UTF-16";
  std::size_t zeros[4] = {};
  for (std::size_t i = 0; i < head.size(); ++i) zeros[i % 4] += head[i] == '\0' ? 1 : 0;
  const std::size_t even = zeros[0] + zeros[2], odd = zeros[1] + zeros[3], all = even + odd;
  if (all * 8 < head.size() || head.size() < 4) return {};
  // Characters of Latin script have three bytes of four zero in UTF-32, and one of two in UTF-16.
  if (all * 2 > head.size() + head.size() / 5) {
    return std::min(zeros[0], zeros[3]) * 8 < std::max(zeros[0], zeros[3]) ? "UTF-32" : std::string_view{};
  }
  return std::min(even, odd) * 8 < std::max(even, odd) ? "UTF-16" : std::string_view{};
}
}  // namespace

Compression compression_of(std::string_view head) {
  const std::string_view name = known_format(head);
  if (name == "a gzip file") return Compression::gzip;
  if (name == "a zstd file") return Compression::zstd;
  return name == "an xz file" ? Compression::xz : Compression::none;
}

std::string_view known_format(std::string_view head) {
  if (const Format* format = format_of(head)) return format->name;
  if (is_tar(head)) return kTar;
  return is_safetensors(head) ? kSafetensors : std::string_view{};
}

std::string not_text(std::string_view head) {
  if (const Format* format = format_of(head)) {
    return format->advice.empty() ? std::string(format->name) : fmt::format("{}; {}", format->name, format->advice);
  }
  if (is_tar(head)) return fmt::format("{}; unpack it first", kTar);
  if (is_safetensors(head)) return std::string(kSafetensors);
  const std::string_view encoding = wide_encoding(head);
  return encoding.empty() ? std::string() : fmt::format("{0} text; iconv -f {0} -t UTF-8 makes it UTF-8", encoding);
}

std::size_t other_encoding(std::string_view head) {
  std::size_t good = 0, bad = 0, first_bad = head.size();
  for (std::size_t i = 0; i < head.size();) {
    const int bytes = decode_utf8(head.substr(i)).bytes;
    if (bytes == 0 && bad++ == 0) first_bad = i;
    if (bytes > 1) ++good;
    i += static_cast<std::size_t>(std::max(bytes, 1));
  }
  if (head.size() == kHeadBytes && bad > 0) --bad;  // a character that was cut off
  return bad > good ? first_bad : head.size();
}

}  // namespace isoloss
