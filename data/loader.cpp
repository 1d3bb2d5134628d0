#include "data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "kernels/base/error.h"
#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"

namespace isoloss {

namespace fs = std::filesystem;

TokenDataset::TokenDataset(const std::vector<fs::path>& files) {
  shards_.reserve(files.size());
  for (const fs::path& file : files) {
    shards_.emplace_back(file);
    size_ += shards_.back().size();
  }
}

void TokenDataset::check_ids(std::uint64_t vocabulary) const {
  for (const TokenShard& shard : shards_) {
    const std::uint64_t position = shard.first_id_beyond(vocabulary);
    if (position == shard.size()) continue;
    const std::string seen = shard.explain_large_ids(vocabulary);
    fail_input(fmt::format("{} token {}", shard.path().string(), position),
               fmt::format("an id below the vocabulary of {}", vocabulary),
               seen.empty() ? fmt::format("{}", shard[position])
                            : fmt::format("{}; without a header ids are uint16, and these seem to be {}",
                                          shard[position], seen));
  }
}

std::vector<std::string> TokenDataset::file_sha256() const {
  std::vector<std::string> hashes(shards_.size());
  parallel_tasks(static_cast<std::int64_t>(shards_.size()), [&](std::int64_t i) {
    hashes[static_cast<std::size_t>(i)] = shards_[static_cast<std::size_t>(i)].sha256();
  });
  return hashes;
}

std::string TokenDataset::sha256() const {
  Sha256 hash;
  for (const std::string& file : file_sha256()) hash.update(file);
  return hash.hex();
}

WindowIndex::WindowIndex(const TokenDataset& data, std::uint64_t context, std::uint64_t stride)
    : data_(&data), context_(context), stride_(stride) {
  std::uint64_t total = 0;
  for (const TokenShard& shard : data.shards()) {
    if (shard.size() > context) total += (shard.size() - context - 1) / stride + 1;
    ends_.push_back(total);
  }
}

void WindowIndex::read(std::uint64_t window, std::int32_t* inputs, std::int32_t* targets) const {
  const auto end = std::upper_bound(ends_.begin(), ends_.end(), window);
  const std::uint64_t before = end == ends_.begin() ? 0 : *(end - 1);
  const TokenShard& shard = data_->shards()[static_cast<std::size_t>(end - ends_.begin())];
  const std::uint64_t begin = (window - before) * stride_;
  shard.read(begin, context_, inputs);
  shard.read(begin + 1, context_, targets);
}

Sampling sampling_from_name(std::string_view name, std::string_view where) {
  if (name == "random") return Sampling::random;
  if (name == "sequential") return Sampling::sequential;
  fail_input(where, "random or sequential", fmt::format("'{}'", name));
}

std::string_view sampling_name(Sampling kind) { return kind == Sampling::random ? "random" : "sequential"; }

namespace {
void need_windows(const TokenDataset& data, std::uint64_t windows, std::int64_t context) {
  if (windows > 0) return;
  std::uint64_t longest = 0;
  for (const TokenShard& shard : data.shards()) longest = std::max(longest, shard.size());
  const std::string where = data.shards().empty() ? "data" : data.shards().front().path().string();
  fail_input(where, fmt::format("a shard of at least {} tokens for a context of {}", context + 1, context),
             fmt::format("at most {}", longest));
}
}  // namespace

Sampler::Sampler(const TokenDataset& data, Sampling kind, std::uint64_t seed, std::int64_t context,
                 std::int64_t rows_per_step)
    : kind_(kind),
      seed_(mix(seed, hash_name(kind == Sampling::random ? "data.random" : "data.sequential"))),
      context_(static_cast<std::uint64_t>(context)),
      rows_per_step_(static_cast<std::uint64_t>(rows_per_step)),
      index_(data, context_, kind == Sampling::random ? 1 : context_) {
  need_windows(data, index_.count(), context);
}

std::uint64_t Sampler::window_of(std::uint64_t step, std::uint64_t row) const {
  const std::uint64_t windows = index_.count();
  if (kind_ == Sampling::random) {
    // The high half of a 64-bit draw times n: off uniform by less than n / 2^64.
    const PhiloxBlock block = philox(seed_, step, row);
    const std::uint64_t draw = std::uint64_t{block[0]} << 32 | block[1];
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(draw) * windows >> 64);
  }
  const std::uint64_t number = step * rows_per_step_ + row;
  return permuted(number % windows, windows, mix(seed_, number / windows));
}

void Sampler::batch(std::uint64_t step, std::int64_t first_row, std::int64_t rows, std::int32_t* inputs,
                    std::int32_t* targets) const {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::uint64_t at = static_cast<std::uint64_t>(r) * context_;
    index_.read(window_of(step, static_cast<std::uint64_t>(first_row + r)), inputs + at, targets + at);
  }
}

std::uint64_t permuted(std::uint64_t index, std::uint64_t size, std::uint64_t key) {
  if (size <= 1) return 0;
  const int half = (std::bit_width(size - 1) + 1) / 2;  // bits of each half; 2^(2·half) >= size
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  constexpr std::uint64_t rounds = 8;
  do {
    std::uint64_t left = index >> half, right = index & mask;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const std::uint64_t next = left ^ (philox(key, round, right)[0] & mask);
      left = right, right = next;
    }
    index = left << half | right;
  } while (index >= size);
  return index;
}

EvalWindows::EvalWindows(const TokenDataset& data, std::int64_t context, std::uint64_t eval_tokens,
                         std::string_view where)
    : context_(static_cast<std::uint64_t>(context)), index_(data, context_, context_), windows_(index_.count()) {
  need_windows(data, windows_, context);
  if (eval_tokens == 0) return;
  if (eval_tokens < context_) {
    fail_input(where, fmt::format("0 (all) or at least one window of {} tokens", context_),
               fmt::format("{}", eval_tokens));
  }
  windows_ = std::min(windows_, eval_tokens / context_);
}

void EvalWindows::batch(std::uint64_t first, std::int64_t rows, std::int32_t* inputs, std::int32_t* targets) const {
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::uint64_t at = static_cast<std::uint64_t>(r) * context_;
    index_.read(first + static_cast<std::uint64_t>(r), inputs + at, targets + at);
  }
}

std::string EvalWindows::sha256() const {
  Sha256 hash;
  hash.update(&context_, sizeof context_);
  std::vector<std::int32_t> inputs(context_), targets(context_);
  for (std::uint64_t window = 0; window < windows_; ++window) {
    index_.read(window, inputs.data(), targets.data());
    hash.update(inputs.data(), context_ * sizeof(std::int32_t));
    hash.update(&targets.back(), sizeof(std::int32_t));
  }
  return hash.hex();
}

}  // namespace isoloss
