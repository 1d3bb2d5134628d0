// Any bytes are either a shard, all of whose ids can be read, or refused with an input error.
#include "data/shard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "data/loader.h"
#include "kernels/base/error.h"

namespace {
/// A file in memory, since a shard is opened by its path.
struct MemoryFile {
  MemoryFile(const std::uint8_t* data, std::size_t size) : descriptor(::memfd_create("shard", 0)) {
    if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { ::close(descriptor); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor); }
  int descriptor;
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isoloss;
  const MemoryFile file(data, size);
  try {
    const TokenDataset dataset({file.path()});
    const TokenShard& shard = dataset.shards().front();
    std::uint64_t small = 0;
    for (std::uint64_t i = 0; i < shard.size(); ++i) small += shard[i] < 1000 ? 1 : 0;
    const std::uint64_t first = shard.first_id_beyond(1000);
    if ((first == shard.size()) != (small == shard.size())) std::abort();
    constexpr std::int64_t context = 3;
    std::int32_t inputs[context], targets[context];
    const Sampler sampler(dataset, Sampling::random, 1, context, 1);
    for (std::uint64_t step = 0; step < 4; ++step) sampler.batch(step, 0, 1, inputs, targets);
  } catch (const Error& error) {
    if (error.exit_code() != 2) std::abort();
  }
  return 0;
}
