// A header of safetensors with one change is refused, or every tensor of it can be read within the file.
#include <cmath>

#include "engine/safetensors.h"
#include "kernels/base/error.h"
#include "tests/fuzz/change.h"

namespace {
using namespace isoloss;
using fuzz::Choices;

/// Tensors back to back, and the bytes of their values.
std::string valid_header(Choices& choices, std::string& values) {
  constexpr std::pair<std::string_view, std::size_t> kTypes[] = {{"F32", 4},  {"BF16", 2}, {"F16", 2}, {"F64", 8},
                                                                 {"BOOL", 1}, {"U8", 1},   {"I64", 8}};
  std::string text = choices.flag() ? R"({"__metadata__":{"format":"pt"},)" : "{";
  for (std::size_t i = 0, tensors = 1 + choices.below(4); i < tensors; ++i) {
    const auto& [type, bytes] = kTypes[choices.below(std::size(kTypes))];
    const std::size_t rows = choices.below(4), columns = 1 + choices.below(3), begin = values.size();
    for (std::size_t at = 0; at < rows * columns * bytes; ++at) values += static_cast<char>(choices.below(256));
    text += (i > 0 ? ",\"t" : "\"t") + std::to_string(i) + R"(":{"dtype":")" + std::string(type) + R"(","shape":[)" +
            std::to_string(rows) + "," + std::to_string(columns) + R"(],"data_offsets":[)" + std::to_string(begin) +
            "," + std::to_string(values.size()) + "]}";
  }
  return text + "}";
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Choices choices(data, size);
  std::string values;
  const fuzz::Document header(valid_header(choices, values), choices);
  const bool right_length = !choices.rarely(16);
  std::uint64_t length = header.text.size() + (right_length ? 0 : choices.below(3) - 1);
  std::string file;
  for (int i = 0; i < 8; ++i, length >>= 8) file += static_cast<char>(length & 0xff);
  file += header.text + values;
  fuzz::accepted(header.valid && right_length, [&] {
    const SafetensorsContent content = parse_safetensors(std::as_bytes(std::span(file)), "fuzz");
    std::size_t bytes = 0;
    for (const StoredTensor& tensor : content.tensors) {
      bytes += tensor.bytes.size();
      std::vector<float> numbers(static_cast<std::size_t>(tensor.count()));
      fuzz::accepted(false, [&] { read_values(tensor, numbers, "fuzz"); });  // integers are refused
      fuzz::require(!tensor.text().empty(), "a tensor without a name");
    }
    fuzz::require(bytes <= values.size() + 1, "more values than the file holds");
  });
  return 0;
}
