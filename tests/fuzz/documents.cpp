// Text and JSON Lines of any bytes: text loses nothing but separator lines, and JSON Lines is read or refused line by
// line.
#include "data/documents.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "data/content.h"
#include "data/json_line.h"
#include "kernels/base/error.h"

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
    Remarks remarks;
    read_text(source, "fuzz", Separator(spec), sink, go_on, remarks);
    if (std::string_view(spec) == "none" ? sink.all != bytes : sink.all.size() > bytes.size()) std::abort();
  }
  // What is skipped in one reading is what stops the other.
  Remarks remarks;
  Memory source(bytes);
  Collect sink;
  read_json_lines(source, "fuzz", {"text", true}, sink, go_on, remarks);
  bool stopped = false;
  try {
    Memory again(bytes);
    Collect same;
    Remarks none;
    read_json_lines(again, "fuzz", {}, same, go_on, none);
    if (same.all != sink.all) std::abort();
  } catch (const Error& error) {
    stopped = true;
    if (error.exit_code() != 2) std::abort();
  }
  if (stopped != (remarks.bad_lines.count > 0)) std::abort();
  if (!not_text(bytes).empty() && other_encoding(bytes) > bytes.size()) std::abort();
  if (begins_with_json_line(bytes) && bytes.find('"') == std::string_view::npos) std::abort();
  return 0;
}
