#include "engine/record_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/json_text.h"
#include "kernels/base/sealed_json.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

nlohmann::ordered_json json_of(const LinesMark& mark) {
  nlohmann::ordered_json json = {{"lines", mark.lines}};
  json.update(to_json(mark.digest));
  return json;
}

LinesMark mark_from(const nlohmann::ordered_json& json) {
  return {integer_at<std::uint64_t>(json, "lines"), digest_from(json)};
}

off_t size_of(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

}  // namespace

nlohmann::ordered_json to_json(const RecordLines& lines) {
  return {{kLogFile, json_of(lines.log)}, {kEvaluationFile, json_of(lines.evaluations)}};
}

RecordLines record_lines_from(const nlohmann::ordered_json& json) {
  return {mark_from(json.at(kLogFile)), mark_from(json.at(kEvaluationFile))};
}

RecordFile::RecordFile(const fs::path& path) : path_(path) {
  if (is_there(path)) {
    const MappedFile file(path);
    count(text_of(file));
  }
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_run(path.string(), "a writable file", std::strerror(errno));
}

RecordFile::~RecordFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

RecordFile::RecordFile(RecordFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      lines_(other.lines_),
      bytes_(other.bytes_),
      checksum_(other.checksum_) {}

void RecordFile::count(std::string_view text) {
  lines_ += static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
  bytes_ += text.size();
  checksum_.update(text.data(), text.size());
}

void RecordFile::append(std::string_view text) {
  const std::string line = std::string(text) + "\n";
  const off_t before = size_of(descriptor_);
  const ssize_t put = ::write(descriptor_, line.data(), line.size());
  if (put == static_cast<ssize_t>(line.size())) return count(line);
  const std::string why = put < 0 ? std::strerror(errno) : "a full disk";
  // Best effort: where even this fails, the next resume cuts the torn line.
  if (put > 0 && ::ftruncate(descriptor_, before) != 0) {
    fail_run(path_.string(), "room for a line", why + ", line torn");
  }
  fail_run(path_.string(), "room for a line", why);
}

void RecordFile::sync() {
  if (::fsync(descriptor_) != 0) fail_run(path_.string(), "the file on disk", std::strerror(errno));
  struct stat written {};
  struct stat found {};
  if (::fstat(descriptor_, &written) != 0 || ::stat(path_.c_str(), &found) != 0) {
    fail_run(path_.string(), "the file that the run writes", std::strerror(errno));
  }
  if (written.st_ino != found.st_ino || written.st_dev != found.st_dev) {
    fail_run(path_.string(), "the file that the run writes", "another one in its place");
  }
}

void expect_lines(const fs::path& path, const LinesMark& mark, std::string_view said_by) {
  const std::string expected = fmt::format("the {} lines that {} says", mark.lines, said_by);
  if (!is_there(path)) {
    if (mark.digest.bytes > 0) fail_input(path.string(), expected, "no file");
    return;
  }
  const MappedFile file(path);
  if (file.bytes().size() < mark.digest.bytes) {
    fail_input(path.string(), fmt::format("{}, {} bytes", expected, mark.digest.bytes),
               fmt::format("{} bytes", file.bytes().size()));
  }
  Xxh64 checksum;
  checksum.update(file.bytes().data(), mark.digest.bytes);
  if (checksum.value() != mark.digest.checksum) {
    fail_input(path.string(), fmt::format("{}, of checksum {}", expected, hexadecimal(mark.digest.checksum)),
               fmt::format("others, of {}", hexadecimal(checksum.value())));
  }
}

std::uint64_t bytes_until(const fs::path& path, std::int64_t step) {
  if (!is_there(path)) return 0;
  const MappedFile file(path);
  const std::string_view text = text_of(file);
  std::size_t keep = 0;
  for (int line = 1; keep < text.size(); ++line) {
    const std::size_t end = text.find('\n', keep);
    if (end == std::string_view::npos) break;
    const std::string where = fmt::format("{}:{}", path.string(), line);
    const nlohmann::json json = parse_json(text.substr(keep, end - keep), where, "a JSON object with a step");
    const auto found = json.is_object() ? json.find("step") : json.end();
    const auto at = found == json.end() ? std::nullopt : integer_in<std::int64_t>(*found);
    if (!json.is_object() || !at) {
      fail_input(where, "a JSON object with a step",
                 std::string(text.substr(keep, std::min<std::size_t>(end - keep, 80))));
    }
    if (*at > step) break;
    keep = end + 1;
  }
  return keep;
}

const fs::path& cut(const fs::path& path, std::uint64_t bytes) {
  if (is_there(path) && ::truncate(path.c_str(), static_cast<off_t>(bytes)) != 0) {
    fail_run(path.string(), "a file that can be cut", std::strerror(errno));
  }
  return path;
}

}  // namespace isoloss
