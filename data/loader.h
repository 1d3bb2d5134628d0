// From shards to batches. Everything here is a pure function of (data, seed, step), so a resumed run, another
// micro-batch size or another model sees exactly the same tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/shard.h"

namespace isoloss {

/// The shards of one split, in order. Windows never cross from one shard into the next.
class TokenDataset {
 public:
  explicit TokenDataset(const std::vector<std::filesystem::path>& files);

  const std::vector<TokenShard>& shards() const { return shards_; }
  std::uint64_t size() const { return size_; }  ///< tokens of all shards
  /// Scans every token once; throws an input error (file, position, id, vocabulary) at the first id >= vocabulary.
  void check_ids(std::uint64_t vocabulary) const;
  /// SHA-256 of each file, in order.
  std::vector<std::string> file_sha256() const;
  /// One hash for the split: SHA-256 over the files' hexadecimal hashes, in order. Reads every byte.
  std::string sha256() const;

 private:
  std::vector<TokenShard> shards_;
  std::uint64_t size_ = 0;
};

/// Numbers the windows of T + 1 tokens (T inputs, T targets) that a dataset holds, `stride` tokens apart.
class WindowIndex {
 public:
  WindowIndex(const TokenDataset& data, std::uint64_t context, std::uint64_t stride);
  std::uint64_t count() const { return ends_.empty() ? 0 : ends_.back(); }
  /// Copies window number `window` < count() to inputs[T] and targets[T].
  void read(std::uint64_t window, std::int32_t* inputs, std::int32_t* targets) const;

 private:
  const TokenDataset* data_;
  std::uint64_t context_, stride_;
  std::vector<std::uint64_t> ends_;  ///< per shard: windows in it and in all before it
};

enum class Sampling { random, sequential };

/// "random" or "sequential"; anything else is an input error at `where`.
Sampling sampling_from_name(std::string_view name, std::string_view where);
std::string_view sampling_name(Sampling kind);

/// Training batches. Row r of step s is always the same window, however the rows are cut into micro-batches.
///   random      an offset drawn by Philox from (seed, step, row), uniform over every window that fits
///   sequential  row r of step s is window number s · rows_per_step + r of an endless pass over the non-overlapping
///               windows, in a seeded permutation that is another one each epoch
class Sampler {
 public:
  /// `data` must outlive the sampler. Throws an input error when no shard holds context + 1 tokens.
  Sampler(const TokenDataset& data, Sampling kind, std::uint64_t seed, std::int64_t context,
          std::int64_t rows_per_step);

  /// Rows [first_row, first_row + rows) of step `step`: inputs [rows,T] and targets [rows,T], targets one token later.
  void batch(std::uint64_t step, std::int64_t first_row, std::int64_t rows, std::int32_t* inputs,
             std::int32_t* targets) const;
  /// Windows the sampler draws from: every offset (random) or the non-overlapping ones of an epoch (sequential).
  std::uint64_t windows() const { return index_.count(); }

 private:
  std::uint64_t window_of(std::uint64_t step, std::uint64_t row) const;

  Sampling kind_;
  std::uint64_t seed_, context_, rows_per_step_;
  WindowIndex index_;
};

/// The value at `index` of a pseudo-random permutation of [0, size), index < size; no table, so any place of any epoch
/// costs the same. Balanced Feistel network over the smallest even number of bits that holds `size`, values outside
/// walked on along their cycle (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
std::uint64_t permuted(std::uint64_t index, std::uint64_t size, std::uint64_t key);

/// Validation windows: non-overlapping, of T targets each; neighbours share the boundary token, so n·T + 1 tokens are n
/// windows; a partial last window is left out (in each shard).
class EvalWindows {
 public:
  /// `eval_tokens` (`where` in errors) limits the targets, rounded down to whole windows; 0 = all. `data` must outlive
  /// this. Throws an input error when not a single window fits into the data or into the limit.
  EvalWindows(const TokenDataset& data, std::int64_t context, std::uint64_t eval_tokens,
              std::string_view where = "run.eval_tokens");

  std::uint64_t windows() const { return windows_; }
  std::uint64_t tokens() const { return windows_ * context_; }  ///< targets
  /// Windows [first, first + rows), first + rows <= windows(), as inputs [rows,T] and targets [rows,T].
  void batch(std::uint64_t first, std::int64_t rows, std::int32_t* inputs, std::int32_t* targets) const;
  /// SHA-256 over context and every window's ids (as uint32): equal exactly when two runs evaluate the same targets.
  std::string sha256() const;

 private:
  std::uint64_t context_;
  WindowIndex index_;
  std::uint64_t windows_;
};

}  // namespace isoloss
