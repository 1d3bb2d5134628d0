#include "tools/generate/decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/finiteness.h"
#include "kernels/base/error.h"
#include "models/transformer.h"
#include "models/weights.h"

namespace isoloss {

std::int32_t draw_token(std::span<const float> logits, const DrawRule& rule, Philox& random) {
  const auto vocab = static_cast<std::int64_t>(logits.size());
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit_of = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  const auto larger = [&](std::int32_t a, std::int32_t b) {
    return logit_of(a) != logit_of(b) ? logit_of(a) > logit_of(b) : a < b;
  };
  const std::int64_t keep = rule.temperature == 0 ? 1 : rule.top_k > 0 ? std::min(rule.top_k, vocab) : vocab;
  std::partial_sort(order.begin(), order.begin() + keep, order.end(), larger);
  if (keep == 1) return order.front();
  std::vector<double> cumulative;
  double sum = 0;
  for (std::int64_t i = 0; i < keep; ++i) {
    const auto logit = static_cast<double>(logit_of(order[static_cast<std::size_t>(i)]) - logit_of(order.front()));
    cumulative.push_back(sum += std::exp(logit / rule.temperature));
  }
  const double draw = random.uniform() * sum;
  const auto at = std::upper_bound(cumulative.begin(), cumulative.end(), draw) - cumulative.begin();
  return order[static_cast<std::size_t>(std::min<std::int64_t>(at, keep - 1))];
}

Decoder::Decoder(const ModelSpec& spec, const std::filesystem::path& weights, const Machine& machine,
                 NodeObserver* observer)
    : vocab_(spec.vocab), context_(spec.context) {
  Graph graph = decoding_graph(spec, store_);
  store_.lay_out();
  store_.allocate(/*with_gradients=*/false, machine);
  load_weights(store_, weights);
  if (const std::string bad = first_not_finite(store_, ParameterStore::Part::values); !bad.empty()) {
    fail_run(weights.string(), "finite weights", bad);
  }
  executor_ = std::make_unique<Executor>(std::move(graph), store_, machine);
  executor_->set_observer(observer);
  logits_.resize(static_cast<std::size_t>(executor_->tensor(executor_->graph().roles.logits).count()));
}

std::span<const float> Decoder::feed(std::int32_t id) {
  if (position_ == context_) {
    const std::vector<std::int32_t> kept(seen_.end() - context_ / 2, seen_.end());
    seen_.clear();
    position_ = 0;
    for (const std::int32_t old : kept) step(old);
  }
  step(id);
  return std::span(logits_).first(static_cast<std::size_t>(vocab_));
}

void Decoder::step(std::int32_t id) {
  const Roles& roles = executor_->graph().roles;
  executor_->write(roles.ids, &id);
  StepState state;
  state.position = position_++;
  seen_.push_back(id);
  executor_->run(state);
  executor_->read(roles.logits, logits_.data());
  if (!std::all_of(logits_.begin(), logits_.begin() + vocab_, [](float logit) { return std::isfinite(logit); })) {
    fail_run("lm_head", "finite logits", "a value that is not");
  }
}

}  // namespace isoloss
