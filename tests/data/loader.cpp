#include "data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "tests/data/temporary.h"

namespace isoloss {

namespace {
/// Shards of the given lengths whose ids count up over all of them, so that an id tells where it came from.
struct Shards {
  explicit Shards(const std::vector<std::uint32_t>& lengths) {
    std::uint32_t next = 0;
    for (const std::uint32_t length : lengths) {
      std::vector<std::uint32_t> ids(length);
      std::iota(ids.begin(), ids.end(), next);
      next += length;
      files.push_back(folder.path() / (std::to_string(files.size()) + ".bin"));
      ShardWriter writer(files.back(), 4);
      writer.append(ids);
      writer.finish();
    }
  }
  TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
};

using Rows = std::vector<std::int32_t>;

/// The first input id of every row, after checking that each row is consecutive and its targets one later.
Rows starts(const Rows& inputs, const Rows& targets, std::size_t context) {
  Rows first;
  for (std::size_t row = 0; row < inputs.size() / context; ++row) {
    for (std::size_t t = 0; t < context; ++t) {
      REQUIRE(inputs[row * context + t] == inputs[row * context] + static_cast<std::int32_t>(t));
      REQUIRE(targets[row * context + t] == inputs[row * context + t] + 1);
    }
    first.push_back(inputs[row * context]);
  }
  return first;
}

Rows sample(const Sampler& sampler, std::uint64_t step, std::int64_t first, std::int64_t rows, std::size_t context) {
  Rows inputs(static_cast<std::size_t>(rows) * context), targets(inputs.size());
  sampler.batch(step, first, rows, inputs.data(), targets.data());
  return starts(inputs, targets, context);
}
}  // namespace

TEST_CASE("evaluation: n T + 1 tokens are n windows, neighbours share a token, shards do not") {
  // 13 = 3·4 + 1 tokens: 3 windows; 12: 2, the last one partial; 4: none; 5: 1.
  const Shards shards({13, 12, 4, 5});
  const TokenDataset data(shards.files);
  CHECK(data.size() == 34);
  const EvalWindows windows(data, 4, 0);
  REQUIRE(windows.windows() == 6);
  CHECK(windows.tokens() == 24);
  Rows inputs(24), targets(24);
  windows.batch(0, 6, inputs.data(), targets.data());
  CHECK(starts(inputs, targets, 4) == Rows{0, 4, 8, 13, 17, 29});
  CHECK(EvalWindows(data, 4, 15).windows() == 3);
  CHECK(EvalWindows(data, 4, 1000).windows() == 6);
  CHECK(contains(input_error([&] { EvalWindows(data, 4, 3); }), "[run.eval_tokens]"));
  CHECK(contains(input_error([&] { EvalWindows(data, 13, 0); }), "at least 14 tokens"));
  CHECK(EvalWindows(data, 4, 8).sha256() != EvalWindows(data, 4, 12).sha256());
  CHECK(EvalWindows(data, 4, 24).sha256() == EvalWindows(data, 4, 0).sha256());
}

TEST_CASE("evaluation sets that differ in one token that counts have other names") {
  const TemporaryFolder folder;
  const auto name = [&](std::size_t changed) {
    std::vector<std::uint32_t> ids{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};  // two windows of four, their last target, one more
    ++ids[changed];
    ShardWriter writer(folder.path() / "val.bin", 4);
    writer.append(ids);
    writer.finish();
    return EvalWindows(TokenDataset({folder.path() / "val.bin"}), 4, 0).sha256();
  };
  std::set<std::string> names;
  for (std::size_t place = 0; place < 10; ++place) names.insert(name(place));
  CHECK(names.size() == 10);
  CHECK(names.contains(name(3)));  // the same again
}

TEST_CASE("random sampling is a pure function of seed and step, whatever the micro-batch") {
  const Shards shards({500, 300});
  const TokenDataset data(shards.files);
  const Sampler a(data, Sampling::random, 7, 16, 12), again(data, Sampling::random, 7, 16, 12);
  const Rows whole = sample(a, 41, 0, 12, 16);
  Rows pieces = sample(again, 41, 0, 5, 16);
  const Rows rest = sample(again, 41, 5, 7, 16);
  pieces.insert(pieces.end(), rest.begin(), rest.end());
  CHECK(pieces == whole);
  CHECK(sample(a, 42, 0, 12, 16) != whole);
  CHECK(sample(Sampler(data, Sampling::random, 8, 16, 12), 41, 0, 12, 16) != whole);
  CHECK(a.windows() == 484 + 284);
}

TEST_CASE("random sampling is uniform over every window, the first and the last included, and crosses no shard") {
  const Shards shards({20, 9, 14});
  const TokenDataset data(shards.files);
  const Sampler sampler(data, Sampling::random, 1, 8, 64);
  std::vector<int> counts(43, 0);
  constexpr int steps = 1000;
  for (std::uint64_t step = 0; step < steps; ++step) {
    for (const std::int32_t start : sample(sampler, step, 0, 64, 8)) ++counts[static_cast<std::size_t>(start)];
  }
  const int windows = 12 + 1 + 6;
  REQUIRE(sampler.windows() == windows);
  const double expected = 64.0 * steps / windows;
  double chi2 = 0;
  int seen = 0;
  for (std::size_t start = 0; start < counts.size(); ++start) {
    const bool valid = start < 12 || start == 20 || (start >= 29 && start < 35);
    CHECK((counts[start] > 0) == valid);
    if (!valid) continue;
    ++seen;
    chi2 += (counts[start] - expected) * (counts[start] - expected) / expected;
  }
  CHECK(seen == windows);
  CHECK(chi2 < 42.3);  // 99.9 % quantile of chi-square with 18 degrees of freedom; the draws are fixed by the seed
}

TEST_CASE("sequential sampling: each epoch is another permutation of the non-overlapping windows") {
  const Shards shards({101, 58});
  const TokenDataset data(shards.files);
  const Sampler sampler(data, Sampling::sequential, 3, 10, 4);
  REQUIRE(sampler.windows() == 15);  // 10 + 5
  Rows all;
  for (std::uint64_t step = 0; step < 15; ++step) {  // 60 rows are four epochs
    const Rows rows = sample(sampler, step, 0, 4, 10);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  std::set<Rows> orders;
  Rows expected;
  for (std::int32_t window = 0; window < 10; ++window) expected.push_back(10 * window);
  for (std::int32_t window = 0; window < 5; ++window) expected.push_back(101 + 10 * window);
  for (std::size_t epoch = 0; epoch < 4; ++epoch) {
    Rows order(all.begin() + static_cast<std::ptrdiff_t>(15 * epoch),
               all.begin() + static_cast<std::ptrdiff_t>(15 * (epoch + 1)));
    orders.insert(order);
    std::sort(order.begin(), order.end());
    CHECK(order == expected);
  }
  CHECK(orders.size() == 4);
  CHECK(sample(sampler, 9, 2, 1, 10)[0] == all[4 * 9 + 2]);
}

TEST_CASE("the permutation is one for every size, and its places are even") {
  for (std::uint64_t size = 1; size <= 300; ++size) {
    std::set<std::uint64_t> values;
    for (std::uint64_t i = 0; i < size; ++i) values.insert(permuted(i, size, size * 31));
    REQUIRE(values.size() == size);
    REQUIRE(*values.rbegin() == size - 1);
  }
  constexpr std::uint64_t size = 10;
  constexpr int keys = 20000;
  std::vector<int> counts(size * size, 0);
  for (std::uint64_t key = 0; key < keys; ++key) {
    for (std::uint64_t i = 0; i < size; ++i) ++counts[i * size + permuted(i, size, key)];
  }
  for (const int count : counts) {
    CHECK(std::abs(count - 2000) < 200);  // 4.7 standard deviations of a binomial with n = 20,000 and p = 1/10
  }
}

TEST_CASE("an id beyond the vocabulary is named with file, position, id and vocabulary") {
  const Shards shards({10, 10});
  const TokenDataset data(shards.files);
  data.check_ids(20);
  const std::string error = input_error([&] { data.check_ids(13); });
  CHECK(contains(error, "1.bin token 3]"));
  CHECK(contains(error, "vocabulary of 13, got 13"));
}

TEST_CASE("hashes depend on the content and on the order of the files") {
  const Shards shards({10, 10});
  const TokenDataset data(shards.files), swapped({shards.files[1], shards.files[0]});
  CHECK(data.file_sha256() == std::vector{sha256_of_file(shards.files[0]), sha256_of_file(shards.files[1])});
  CHECK(data.sha256() != swapped.sha256());
  CHECK(data.sha256() == TokenDataset(shards.files).sha256());
}

TEST_CASE("names of the kinds of sampling") {
  CHECK(sampling_from_name("random", "data.sampling") == Sampling::random);
  CHECK(sampling_name(sampling_from_name("sequential", "data.sampling")) == "sequential");
  CHECK(contains(input_error([] { sampling_from_name("shuffled", "data.sampling"); }), "'shuffled'"));
}

}  // namespace isoloss
