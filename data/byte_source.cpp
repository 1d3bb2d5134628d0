#include "data/byte_source.h"

#include <fcntl.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "data/content.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {
class RawFile final : public ByteSource {
 public:
  explicit RawFile(const fs::path& path) : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) fail_input(path_.string(), "a readable file", std::strerror(errno));
  }
  ~RawFile() override { ::close(descriptor_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  std::size_t read(char* out, std::size_t capacity) override {
    for (;;) {
      const ssize_t got = ::read(descriptor_, out, capacity);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_input(path_.string(), "a readable file", std::strerror(errno));
      hash_.update(out, static_cast<std::size_t>(got));
      consumed_ += static_cast<std::uint64_t>(got);
      return static_cast<std::size_t>(got);
    }
  }
  std::uint64_t consumed() const override { return consumed_; }
  std::string sha256() override { return hash_.hex(); }

 private:
  fs::path path_;
  int descriptor_;
  std::uint64_t consumed_ = 0;
  Sha256 hash_;
};

/// What the three libraries have in common: a decoder that turns input into output step by step.
class Compressed : public ByteSource {
 public:
  Compressed(std::unique_ptr<ByteSource> file, std::string name)
      : file_(std::move(file)), name_(std::move(name)), input_(std::size_t{1} << 17) {}

  std::size_t read(char* out, std::size_t capacity) final {
    for (;;) {
      if (next_ == end_ && !file_ended_) {
        end_ = file_->read(input_.data(), input_.size());
        next_ = 0;
        file_ended_ = end_ == 0;
      }
      if (file_ended_ && at_boundary_) return 0;
      const std::size_t before = next_;
      const std::size_t written = decode(input_.data(), out, capacity);
      if (written > 0) return written;
      if (file_ended_ && !at_boundary_ && next_ == before) fail("a whole stream", "a truncated file");
    }
  }
  std::uint64_t consumed() const final { return file_->consumed(); }
  std::string sha256() final { return file_->sha256(); }

 protected:
  /// Decodes from input[next_, end_) (moving next_) to `out`; keeps at_boundary_, which is true between streams.
  virtual std::size_t decode(char* input, char* out, std::size_t capacity) = 0;
  [[noreturn]] void fail(std::string_view expected, std::string_view got) const { fail_input(name_, expected, got); }
  std::size_t next_ = 0, end_ = 0;
  bool at_boundary_ = false;
  bool file_ended_ = false;

 private:
  std::unique_ptr<ByteSource> file_;
  std::string name_;
  std::vector<char> input_;
};

class Gzip final : public Compressed {
 public:
  Gzip(std::unique_ptr<ByteSource> file, std::string name) : Compressed(std::move(file), std::move(name)) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() override { inflateEnd(&stream_); }

 private:
  std::size_t decode(char* input, char* out, std::size_t capacity) override {
    if (at_boundary_) inflateReset(&stream_), at_boundary_ = false;  // another member follows
    stream_.next_in = reinterpret_cast<Bytef*>(input + next_);
    stream_.avail_in = static_cast<uInt>(end_ - next_);
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(capacity);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    next_ = end_ - stream_.avail_in;
    if (result == Z_STREAM_END) {
      at_boundary_ = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      fail("gzip data", stream_.msg != nullptr ? stream_.msg : "a corrupt file");
    }
    return capacity - stream_.avail_out;
  }
  z_stream stream_{};
};

class Zstd final : public Compressed {
 public:
  Zstd(std::unique_ptr<ByteSource> file, std::string name)
      : Compressed(std::move(file), std::move(name)), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
  }
  ~Zstd() override { ZSTD_freeDStream(stream_); }

 private:
  std::size_t decode(char* input, char* out, std::size_t capacity) override {
    ZSTD_inBuffer in{input, end_, next_};
    ZSTD_outBuffer to{out, capacity, 0};
    const std::size_t result = ZSTD_decompressStream(stream_, &to, &in);
    if (ZSTD_isError(result)) fail("zstd data", ZSTD_getErrorName(result));
    // At the end of the file the decoder asks for more input, but a frame that was finished stays finished.
    if (in.pos != next_ || to.pos != 0) at_boundary_ = result == 0;
    next_ = in.pos;
    return to.pos;
  }
  ZSTD_DStream* stream_;
};

class Xz final : public Compressed {
 public:
  Xz(std::unique_ptr<ByteSource> file, std::string name) : Compressed(std::move(file), std::move(name)) {
    constexpr std::uint64_t memory_limit = std::uint64_t{512} << 20;  // more than `xz -9` needs
    if (lzma_stream_decoder(&stream_, memory_limit, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  }
  ~Xz() override { lzma_end(&stream_); }

 private:
  std::size_t decode(char* input, char* out, std::size_t capacity) override {
    stream_.next_in = reinterpret_cast<std::uint8_t*>(input + next_);
    stream_.avail_in = end_ - next_;
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out);
    stream_.avail_out = capacity;
    const lzma_ret result = lzma_code(&stream_, file_ended_ ? LZMA_FINISH : LZMA_RUN);
    next_ = end_ - stream_.avail_in;
    switch (result) {
      case LZMA_STREAM_END:
        at_boundary_ = true;
        break;
      case LZMA_OK:
      case LZMA_BUF_ERROR:
        break;
      case LZMA_MEMLIMIT_ERROR:
        fail("xz data that decodes in 512 MiB", "a larger dictionary");
      default:
        fail("xz data", "a corrupt file");
    }
    return capacity - stream_.avail_out;
  }
  lzma_stream stream_ = LZMA_STREAM_INIT;
};
}  // namespace

namespace {
Compression compression_by_name(const fs::path& path) {
  const std::string ending = lower_extension(path);
  if (ending == ".gz") return Compression::gzip;
  if (ending == ".zst") return Compression::zstd;
  return ending == ".xz" ? Compression::xz : Compression::none;
}
}  // namespace

std::string_view PreviewedSource::head(std::size_t bytes) {
  while (head_.size() < next_ + bytes) {
    const std::size_t before = head_.size();
    head_.resize(next_ + bytes);
    const std::size_t got = source_->read(head_.data() + before, head_.size() - before);
    head_.resize(before + got);
    if (got == 0) break;
  }
  return std::string_view(head_).substr(next_, bytes);
}

std::size_t PreviewedSource::read(char* out, std::size_t capacity) {
  const std::size_t take = std::min(capacity, head_.size() - next_);
  if (take == 0) return source_->read(out, capacity);
  std::memcpy(out, head_.data() + next_, take);
  next_ += take;
  return take;
}

std::unique_ptr<PreviewedSource> open_source(const fs::path& path) {
  constexpr std::size_t longest_mark = 16;
  auto file = std::make_unique<PreviewedSource>(std::make_unique<RawFile>(path));
  Compression compression = compression_of(file->head(longest_mark));
  if (compression == Compression::none) compression = compression_by_name(path);
  std::unique_ptr<ByteSource> decoder;
  switch (compression) {
    case Compression::none:
      return file;
    case Compression::gzip:
      decoder = std::make_unique<Gzip>(std::move(file), path.string());
      break;
    case Compression::zstd:
      decoder = std::make_unique<Zstd>(std::move(file), path.string());
      break;
    case Compression::xz:
      decoder = std::make_unique<Xz>(std::move(file), path.string());
      break;
  }
  return std::make_unique<PreviewedSource>(std::move(decoder));
}

std::string lower_extension(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return ending;
}

fs::path uncompressed_name(const fs::path& path) {
  return compression_by_name(path) == Compression::none ? path : path.parent_path() / path.stem();
}

std::string sha256_of_stream(const fs::path& path) {
  RawFile file(path);
  std::vector<char> block(std::size_t{1} << 18);
  while (file.read(block.data(), block.size()) > 0) {
  }
  return file.sha256();
}

}  // namespace isoloss
