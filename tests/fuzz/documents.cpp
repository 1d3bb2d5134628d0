// Text and JSON Lines of any bytes: text loses nothing but separator lines, and JSON Lines is read or refused.
#include "data/documents.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/core/error.h"

namespace {
using namespace isoloss;

class Memory final : public ByteSource {
 public:
  explicit Memory(std::string_view bytes) : bytes_(bytes) {}
  std::size_t read(char* out, std::size_t capacity) override {
    const std::size_t take = std::min({capacity, bytes_.size(), std::size_t{7}});  // small blocks: every cut is met
    std::memcpy(out, bytes_.data(), take);
    bytes_.remove_prefix(take);
    return take;
  }
  std::uint64_t consumed() const override { return 0; }
  std::string sha256() override { return {}; }

 private:
  std::string_view bytes_;
};

struct Collect final : DocumentSink {
  void text(std::string_view piece) override {
    if (piece.empty()) std::abort();
    all += piece;
  }
  void end_document() override {}
  std::string all;
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto go_on = [] { return true; };
  for (const char* spec : {"none", "blank-line", "^<\\|endoftext\\|>$"}) {
    Memory source(bytes);
    Collect sink;
    read_text(source, Separator(spec), sink, go_on);
    if (std::string_view(spec) == "none" ? sink.all != bytes : sink.all.size() > bytes.size()) std::abort();
  }
  try {
    Memory source(bytes);
    Collect sink;
    read_json_lines(source, "fuzz", "text", sink, go_on);
  } catch (const Error& error) {
    if (error.exit_code() != 2) std::abort();
  }
  return 0;
}
