// The mean loss over validation windows, and the blocks that say how noisy it is.
#include <doctest/doctest.h>

#include "data/shard.h"
#include "kernels/base/philox.h"
#include "models/transformer.h"
#include "tests/harness/files.h"
#include "tests/harness/tiny_run.h"

using namespace isoloss;

TEST_CASE("evaluation: any number of rows at a time gives the mean over all windows, and blocks of whole windows") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = test::tiny_spec();
  Philox random(4);
  std::vector<std::uint32_t> ids;
  for (std::int64_t i = 0; i < 130 * spec.context + 1; ++i) ids.push_back(static_cast<std::uint32_t>(random.below(50)));
  ShardWriter writer(folder / "val.bin", 2);
  writer.append(ids);
  writer.finish();
  const TokenDataset data({folder / "val.bin"});

  const auto evaluated = [&](std::int64_t rows, std::uint64_t windows) {
    ParameterStore store;
    Graph graph = evaluation_graph(spec, store, rows);
    store.lay_out();
    store.allocate(false);
    store.initialise(1);
    Executor executor(std::move(graph), store, DeviceKind::cpu);
    return evaluate(executor, EvalWindows(data, spec.context, windows * static_cast<std::uint64_t>(spec.context)));
  };
  // With up to 64 windows a block is a window: their losses one by one.
  const Evaluation single = evaluated(1, 64);
  REQUIRE(single.blocks.size() == 64);
  const auto mean = [&](std::size_t first, std::size_t count) {
    double sum = 0;
    for (std::size_t i = first; i < first + count; ++i) sum += single.blocks[i];
    return sum / static_cast<double>(count);
  };
  CHECK(single.loss == doctest::Approx(mean(0, 64)).epsilon(1e-14));
  CHECK(single.tokens == 64 * 16);

  // 130 windows in blocks of 3: 43 whole ones and one of a single window; 7 rows leave a partial last batch.
  for (const std::int64_t rows : {1, 4, 7}) {
    CAPTURE(rows);
    const Evaluation result = evaluated(rows, 130);
    CHECK(result.tokens == 130 * 16);
    REQUIRE(result.blocks.size() == 44);
    for (const std::size_t block : {std::size_t{0}, std::size_t{1}, std::size_t{20}}) {
      CHECK(result.blocks[block] == doctest::Approx(mean(3 * block, 3)).epsilon(1e-6));  // float, another batch
    }
    double sum = result.blocks.back();
    for (std::size_t block = 0; block < 43; ++block) sum += 3 * result.blocks[block];
    CHECK(result.loss == doctest::Approx(sum / 130).epsilon(1e-14));
  }
}
