// The thread pool: what a region has written is there when it returns and in every later region, for plain memory.
#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "kernels/base/parallel.h"

namespace isoloss {
namespace {

/// Every element plus one, but read in the opposite order, so that most pieces come from another thread's region.
std::vector<int> mirrored(const std::vector<int>& from) {
  std::vector<int> to(from.size());
  parallel_tasks(static_cast<std::int64_t>(from.size()), [&](std::int64_t task) {
    const auto at = static_cast<std::size_t>(task);
    to[at] = from[from.size() - 1 - at] + 1;
  });
  return to;
}

}  // namespace

TEST_CASE("pool: regions follow each other, with any number of threads") {
  const int before = threads();
  for (const int count : {1, 2, 3, 4}) {
    set_threads(count);
    std::vector<int> values(23);
    // Long enough that workers also come late, sleep, and find a region closed.
    for (int region = 0; region < 3000; ++region) values = mirrored(values);
    CHECK(values == std::vector<int>(23, 3000));
  }
  set_threads(before);
}

TEST_CASE("pool: two tasks of one thread number never run at once; nested regions stay on their thread") {
  const int before = threads();
  for (const int count : {2, 4}) {
    set_threads(count);
    std::vector<std::vector<int>> seen(static_cast<std::size_t>(count), std::vector<int>(8));
    for (int region = 0; region < 300; ++region) {
      parallel_tasks(40, [&](std::int64_t, int thread) {
        std::vector<int>& mine = seen[static_cast<std::size_t>(thread)];
        parallel_tasks(8, [&](std::int64_t inner) { ++mine[static_cast<std::size_t>(inner)]; });
      });
    }
    int sum = 0;
    for (const std::vector<int>& counts : seen) sum += counts[0];
    CHECK(sum == 300 * 40);
  }
  set_threads(before);
}

}  // namespace isoloss
