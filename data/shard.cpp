#include "data/shard.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "data/bare_ids.h"
#include "data/content.h"
#include "kernels/base/error.h"

namespace isoloss {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "shards are little-endian and are mapped as they are");

namespace {
constexpr std::uint64_t kHeaderInts = 256, kHeaderBytes = kHeaderInts * 4;

struct Layout {
  std::uint32_t magic, version;
  int id_bytes;
};
constexpr Layout kUint16{20240520, 1, 2}, kUint32{20240801, 7, 4};

bool is_text_byte(unsigned char byte) {
  return byte >= 0x20 ? byte != 0x7f : byte == '\n' || byte == '\r' || byte == '\t';
}

// Ids of a vocabulary under 8,192 have a high byte under 32 everywhere, and a larger one has its frequent tokens there;
// sixteen bytes or more without a single such byte are text.
bool looks_like_text(std::string_view bytes) {
  const std::string_view start = bytes.substr(0, 4096);
  return start.size() >= 16 &&
         std::all_of(start.begin(), start.end(), [](char c) { return is_text_byte(static_cast<unsigned char>(c)); });
}

// A file without header is only its ids, so anything could pass for one.
void reject_foreign(const std::string& where, std::string_view bytes) {
  constexpr std::string_view expected = "a token shard";
  if (const std::string_view format = known_format(bytes.substr(0, kHeadBytes)); !format.empty()) {
    fail_input(where, expected, format);
  }
  if (bytes.size() >= 4) {
    std::uint32_t first = 0;
    std::memcpy(&first, bytes.data(), 4);
    // llm.c's other files (models, optimizer states) carry dates as well.
    if (first >= 20240101 && first <= 20261231) {
      fail_input(where, "magic 20240520 (uint16 ids) or 20240801 (uint32 ids)", fmt::format("magic {}", first));
    }
    const std::uint32_t swapped = (first >> 24) | (first >> 8 & 0xff00u) | (first << 8 & 0xff0000u) | (first << 24);
    if (swapped == kUint16.magic || swapped == kUint32.magic) fail_input(where, expected, "a big-endian file");
  }
  if (looks_like_text(bytes)) fail_input(where, expected, "text; tokenize it first");
}

void reject_other_ids(const std::string& where, std::string_view bytes) {
  const std::string seen = other_than_uint16(bytes);
  if (seen.empty()) return;
  fail_input(where, "uint16 ids, since there is no header",
             fmt::format("what seems to be {}; write them as uint16, or as uint32 behind a header of {} int32 that "
                         "begins with {}, {} and their number (uint16: {}, {})",
                         seen, kHeaderInts, kUint32.magic, kUint32.version, kUint16.magic, kUint16.version));
}
}  // namespace

TokenShard::TokenShard(const fs::path& path) : path_(path), file_(path) {
  const std::string where = path.string();
  const std::string_view bytes(reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size());
  if (bytes.empty()) fail_input(where, "token ids", "an empty file");
  std::uint32_t header[3] = {};
  std::memcpy(header, bytes.data(), std::min(sizeof header, bytes.size()));
  if (header[0] != kUint16.magic && header[0] != kUint32.magic) {
    reject_foreign(where, bytes);
    if (bytes.size() % 2 != 0) {
      fail_input(where, "whole uint16 ids (no header was found)", fmt::format("{} bytes, an odd number", bytes.size()));
    }
    reject_other_ids(where, bytes);
    size_ = bytes.size() / 2;
    return;
  }
  const Layout& layout = header[0] == kUint16.magic ? kUint16 : kUint32;
  if (bytes.size() < kHeaderBytes) {
    fail_input(where, fmt::format("a header of {} bytes", kHeaderBytes), fmt::format("a file of {}", bytes.size()));
  }
  if (header[1] != layout.version) {
    fail_input(where, fmt::format("version {} with magic {}", layout.version, layout.magic),
               fmt::format("version {}", header[1]));
  }
  offset_ = kHeaderBytes;
  id_bytes_ = layout.id_bytes;
  size_ = header[2];
  const std::uint64_t wanted = offset_ + size_ * static_cast<std::uint64_t>(id_bytes_);
  if (bytes.size() != wanted) {
    fail_input(where, fmt::format("{} bytes for the {} ids that the header counts", wanted, size_),
               fmt::format("{} bytes{}", bytes.size(), bytes.size() < wanted ? ", a truncated file" : ""));
  }
}

void TokenShard::read(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const {
  const std::byte* from = file_.bytes().data() + offset_ + begin * static_cast<std::uint64_t>(id_bytes_);
  if (id_bytes_ == 2) {
    std::copy_n(reinterpret_cast<const std::uint16_t*>(from), count, out);
  } else {
    std::memcpy(out, from, count * sizeof *out);
  }
}

std::uint64_t TokenShard::first_id_beyond(std::uint64_t vocabulary) const {
  const auto search = [&]<class T>(const T* ids) {
    return static_cast<std::uint64_t>(std::find_if(ids, ids + size_, [&](T id) { return id >= vocabulary; }) - ids);
  };
  const std::byte* from = file_.bytes().data() + offset_;
  return id_bytes_ == 2 ? search(reinterpret_cast<const std::uint16_t*>(from))
                        : search(reinterpret_cast<const std::uint32_t*>(from));
}

std::string TokenShard::explain_large_ids(std::uint64_t vocabulary) const {
  if (has_header()) return {};
  return isoloss::explain_large_ids({reinterpret_cast<const std::uint16_t*>(file_.bytes().data()), size_}, vocabulary);
}

std::string TokenShard::sha256() const {
  Sha256 hash;
  hash.update(file_.bytes().data(), file_.bytes().size());
  return hash.hex();
}

ShardWriter::ShardWriter(const fs::path& path, int id_bytes) : path_(path), file_(path), id_bytes_(id_bytes) {
  const char header[kHeaderBytes] = {};
  file_.write(header, sizeof header);
}

void ShardWriter::append(std::span<const std::uint32_t> ids) {
  size_ += ids.size();
  if (id_bytes_ == 4) {
    file_.write(ids.data(), ids.size_bytes());
    return;
  }
  std::uint16_t narrow[1024];
  for (std::size_t begin = 0; begin < ids.size(); begin += std::size(narrow)) {
    const std::size_t count = std::min(ids.size() - begin, std::size(narrow));
    for (std::size_t i = 0; i < count; ++i) {
      if (ids[begin + i] > 0xffff) {
        fail_run(path_.string(), "ids that fit into 16 bits", fmt::format("id {}", ids[begin + i]));
      }
      narrow[i] = static_cast<std::uint16_t>(ids[begin + i]);
    }
    file_.write(narrow, count * sizeof *narrow);
  }
}

void ShardWriter::finish() {
  const Layout& layout = id_bytes_ == 2 ? kUint16 : kUint32;
  if (size_ > 0x7fffffff) fail_run(path_.string(), "a count that fits into int32", fmt::format("{} ids", size_));
  const std::uint32_t header[3] = {layout.magic, layout.version, static_cast<std::uint32_t>(size_)};
  file_.write_at(0, header, sizeof header);
  file_.commit();
}

namespace {
/// `text` with a backslash before each of `special`, which glob(3) then takes as it stands.
std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::vector<fs::path> glob_matches(const std::string& pattern) {
  glob_t found{};
  std::vector<fs::path> paths;
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0)
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::sort(paths.begin(), paths.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return paths;
}

/// Names of files and folders may themselves hold a `[`, as those of sweeps do (`lr[1e-3]`). A path that is there as it
/// is written goes before what it matches as a pattern, the whole path first, then its folder.
std::vector<fs::path> matches_of(const std::string& pattern) {
  std::error_code ignored;
  if (fs::exists(pattern, ignored)) return {pattern};
  std::vector<std::string> readings{pattern};
  const std::size_t name = pattern.rfind('/') + 1;  // 0 where there is no folder
  if (name != 0 && fs::is_directory(pattern.substr(0, name), ignored)) {
    const std::string folder = escaped(std::string_view(pattern).substr(0, name), "[*?\\");
    readings = {folder + pattern.substr(name), folder + escaped(std::string_view(pattern).substr(name), "[")};
  } else if (pattern.find('[') != std::string::npos) {
    readings.push_back(escaped(pattern, "["));
  }
  for (const std::string& reading : readings) {
    if (std::vector<fs::path> paths = glob_matches(reading); !paths.empty()) return paths;
  }
  return {};
}
}  // namespace

std::vector<fs::path> expand_shards(std::span<const std::string> patterns, std::string_view where) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  if (patterns.empty()) fail_input(where, "shard files", "an empty list");
  for (const std::string& pattern : patterns) {
    const std::vector<fs::path> matches = matches_of(pattern);
    if (matches.empty())
      fail_input(where, "a shard file or a pattern that matches one",
                 fmt::format("'{}', which matches no file{}", pattern,
                             pattern.find('[') == std::string::npos ? "" : " ([ begins a set of characters)"));
    for (const fs::path& path : matches) {
      if (!seen.insert(path.lexically_normal()).second) {
        fail_input(where, "every shard once", fmt::format("'{}' twice", path.string()));
      }
      files.push_back(path);
    }
  }
  return files;
}

}  // namespace isoloss
