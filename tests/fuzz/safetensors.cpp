// Any bytes are either read, all values inside the file, or refused with an input error.
#include "engine/safetensors.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "kernels/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isoloss;
  try {
    const SafetensorsContent content = parse_safetensors(std::as_bytes(std::span(data, size)), "fuzz");
    for (const StoredTensor& tensor : content.tensors) {
      std::vector<float> values(static_cast<std::size_t>(tensor.count()));
      try {
        read_values(tensor, values, "fuzz");
      } catch (const Error& error) {
        if (error.exit_code() != 2) std::abort();  // masks and integers are refused, as an input error
      }
    }
  } catch (const Error& error) {
    if (error.exit_code() != 2) std::abort();
  }
  return 0;
}
