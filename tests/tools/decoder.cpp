// What `generate` is made of: the draw from logits, and the decoder with its window.
#include "tools/generate/decoder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "engine/safetensors.h"
#include "models/transformer.h"
#include "tests/harness/files.h"
#include "tests/harness/tiny_run.h"

using namespace isoloss;

namespace {
std::vector<int> counts_of(const std::vector<float>& logits, const DrawRule& rule, int draws) {
  Philox random(7);
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(draw_token(logits, rule, random))];
  return counts;
}
}  // namespace

TEST_CASE("draws follow softmax(logits / temperature)") {
  const std::vector<float> logits{0.5f, -1.0f, 2.0f, 1.0f, 0.0f};
  constexpr int draws = 20000;
  for (const double temperature : {0.5, 0.8, 1.0, 3.0}) {
    CAPTURE(temperature);
    const std::vector<int> counts = counts_of(logits, {temperature, 0}, draws);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) / temperature);
    for (std::size_t id = 0; id < logits.size(); ++id) {
      const double p = std::exp(static_cast<double>(logits[id]) / temperature) / sum;
      // Five standard deviations of a binomial; the draws are fixed by the seed.
      CHECK(std::abs(counts[id] - draws * p) < 5 * std::sqrt(draws * p * (1 - p)) + 1);
    }
  }
}

TEST_CASE("top-k keeps exactly the k largest, of equal ones the lower ids, in their proportions") {
  const std::vector<float> logits{1.0f, 3.0f, 1.0f, 2.0f, 1.0f};  // in order: 1, 3, 0, 2, 4
  const std::size_t order[] = {1, 3, 0, 2, 4};
  for (std::int64_t k = 1; k <= 7; ++k) {
    CAPTURE(k);
    const std::vector<int> counts = counts_of(logits, {1.5, k}, 3000);
    for (std::size_t rank = 0; rank < 5; ++rank) CHECK((counts[order[rank]] > 0) == (static_cast<int>(rank) < k));
  }
  const std::vector<int> two = counts_of(logits, {1, 2}, 10000);
  CHECK(std::abs(two[1] - 10000 / (1 + std::exp(-1.0))) < 5 * std::sqrt(10000 * 0.1966));
  CHECK(counts_of(logits, {1, 0}, 3000)[4] > 0);  // 0: all
}

TEST_CASE("temperature 0 takes the largest logit, the lowest id of equal ones; tiny temperatures come near it") {
  const std::vector<float> logits{-5.0f, 900.0f, 900.0f, 899.0f};
  CHECK(counts_of(logits, {0, 0}, 50)[1] == 50);
  CHECK(counts_of(logits, {0, 3}, 50)[1] == 50);
  CHECK(counts_of({1.0f, 2.0f, 3.0f}, {1e-300, 0}, 50)[2] == 50);
}

TEST_CASE("equal seeds draw equal tokens, others do not") {
  const std::vector<float> logits(40, 0.0f);
  const auto drawn = [&](std::uint64_t seed) {
    Philox random(seed);
    std::vector<std::int32_t> ids(20);
    for (std::int32_t& id : ids) id = draw_token(logits, {}, random);
    return ids;
  };
  CHECK(drawn(3) == drawn(3));
  CHECK(drawn(3) != drawn(4));
}

TEST_CASE("the decoder tells what the full pass tells, and a full context goes on with its newer half") {
  const test::TemporaryFolder folder;
  const ModelSpec spec = test::tiny_spec();
  const auto context = static_cast<std::size_t>(spec.context);
  ParameterStore store;
  Graph graph = evaluation_graph(spec, store, 1);
  store.lay_out();
  store.allocate(false);
  store.initialise(1);
  write_safetensors(folder / "w", model_tensors(store));
  Philox random(4);
  std::vector<std::int32_t> ids(3 * context);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(spec.vocab)));

  Executor full(std::move(graph), store, DeviceKind::cpu);
  const Roles& roles = full.graph().roles;
  full.write(roles.ids, ids.data());
  full.write(roles.targets, ids.data() + 1);
  full.run({});
  std::vector<float> losses(context);
  full.read(roles.token_losses, losses.data());

  Decoder decoder(spec, folder / "w", DeviceKind::cpu);
  std::vector<std::vector<float>> logits;
  for (const std::int32_t id : ids) {
    const std::span<const float> next = decoder.feed(id);
    REQUIRE(next.size() == static_cast<std::size_t>(spec.vocab));
    logits.emplace_back(next.begin(), next.end());
  }
  for (std::size_t t = 0; t < context; ++t) {
    double sum = 0;
    for (const float logit : logits[t]) sum += std::exp(static_cast<double>(logit));
    const double loss = std::log(sum) - static_cast<double>(logits[t][static_cast<std::size_t>(ids[t + 1])]);
    CHECK(loss == doctest::Approx(static_cast<double>(losses[t])).epsilon(1e-5));  // float32, another order of sums
  }
  // Behind the context: what a decoder says that has seen nothing but the window.
  const std::size_t half = context / 2;
  for (const std::size_t fed : {context + 1, context + 2, context + half, context + half + 1, 3 * context}) {
    CAPTURE(fed);
    const std::size_t window = half + 1 + (fed - context - 1) % half;
    Decoder fresh(spec, folder / "w", DeviceKind::cpu);
    std::span<const float> next;
    for (std::size_t i = fed - window; i < fed; ++i) next = fresh.feed(ids[i]);
    CHECK(std::vector<float>(next.begin(), next.end()) == logits[fed - 1]);
  }
}
