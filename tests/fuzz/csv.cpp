// The CSV readers must answer any bytes with runs or with one input error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/base/error.h"
#include "tools/ceg/input/curves.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto read : {isoloss::ceg::read_csv_runs, isoloss::ceg::read_wandb_runs}) {
    try {
      read(text, "fuzz.csv");
    } catch (const isoloss::Error&) {
    }
  }
  return 0;
}
