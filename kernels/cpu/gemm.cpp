#include "kernels/cpu/gemm.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <new>

#include "kernels/base/parallel.h"
#include "kernels/base/shares.h"
#include "kernels/cpu/gemm_tile.h"

namespace isoloss {

namespace {

using detail::kTileColumns;
using detail::kTileRows;
using detail::Strip;

// k of a strip: C is read and written once per depth block. Both strips of a register tile then stream from the
// second-level cache, which the multiply-adds hide (kernels/cpu/README.md has the measurements).
constexpr std::int64_t kMaxDepth = 384;
// The operand that all tasks read is taken in panels along k that should stay in the third-level cache. If it has to be
// packed, that is done once for all, and two panels are in flight.
constexpr std::int64_t kPanelBytes = std::int64_t{4} << 20;
// With this many rows of A a thread, every thread packs B for itself, in panels that stay in its second-level cache: a
// line that another processor has packed costs more to fetch than to pack again (kernels/cpu/README.md).
constexpr std::int64_t kMinRowsToPackAlone = 128;
constexpr std::int64_t kAlonePanelBytes = std::int64_t{384} << 10;
// The part of the other operand that a task works on stays in the second-level cache.
constexpr std::int64_t kChunkBytes = std::int64_t{128} << 10;
constexpr std::int64_t kTasksPerThread = 16;
// Rows of A that are read for fewer strips of B than this are not worth packing.
constexpr std::int64_t kMinStripsToPack = 17;
// Rows so far apart, or a multiple of it, fall on one set of the first-level cache, which holds fewer than a strip has.
constexpr std::int64_t kSetBytes = 4096;
constexpr std::int64_t kMinSharedStrips = 8;  // below this, packing the chunk of a task costs more than balance brings
// Products below this are computed by the caller: waking the pool takes a few microseconds.
constexpr double kMinParallelFlops = 1e6;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

/// Strips of one operand, cut into equal parts.
struct Parts {
  std::int64_t strips, each, count;

  Parts(std::int64_t strips_, std::int64_t wanted_each) : strips(strips_) {
    each = ceil_div(strips, ceil_div(strips, wanted_each));
    count = ceil_div(strips, each);
  }
};

/// Lines of A (its rows) or of B (its columns).
struct Lines {
  const float* data;
  std::int64_t count, step_line, step_k;

  /// Whether the lines lie side by side, as the inner loop wants them.
  bool direct() const { return step_line == 1; }
  detail::Strip strip(std::int64_t line, std::int64_t k, int width) const {
    return {data + line * step_line + k * step_k, step_k, width * step_line, step_line};
  }
};
Lines lines_of_a(const GemmProblem& p) { return {p.a, p.m, p.transpose_a ? 1 : p.lda, p.transpose_a ? p.lda : 1}; }
Lines lines_of_b(const GemmProblem& p) { return {p.b, p.n, p.transpose_b ? p.ldb : 1, p.transpose_b ? 1 : p.ldb}; }

/// How a product is cut. Only `depth` influences the result, and it depends on k alone.
struct Cut {
  std::int64_t depth;        ///< k of a strip
  std::int64_t depths;       ///< such blocks of k
  std::int64_t panel_depth;  ///< k of a panel, a multiple of `depth`
  std::int64_t panels;
  bool alone;     ///< each thread packs the shared operand for itself: a panel is one part and depth block
  bool shares_a;  ///< the shared operand is A, each task has its part of B; else the other way round
  bool shared_direct, own_direct;  ///< stored as the inner loop wants it: read in place, not packed
  bool own_packed;                 ///< of the others, rows of A may still be read in place
  std::int64_t packs;              ///< packing tasks a panel
  Parts shared{1, 1}, own{1, 1};

  Cut(const GemmProblem& p, int threads) {
    const bool a_direct = p.transpose_a, b_direct = !p.transpose_b;
    // A task packs its own part in its own cache, so the one operand that has to be packed is not the shared one. If
    // both or none have to, the smaller is shared.
    alone = !a_direct && !b_direct && p.m >= kMinRowsToPackAlone * threads;
    shares_a = a_direct != b_direct ? a_direct : p.m <= p.n && !alone;
    shared_direct = shares_a ? a_direct : b_direct;
    own_direct = shares_a ? b_direct : a_direct;
    depths = std::max<std::int64_t>(1, ceil_div(p.k, kMaxDepth));
    depth = round_up(ceil_div(p.k, depths), 8);
    depths = ceil_div(p.k, depth);
    const std::int64_t shared_strips = shares_a ? ceil_div(p.m, kTileRows) : ceil_div(p.n, kTileColumns);
    const std::int64_t own_strips = shares_a ? ceil_div(p.n, kTileColumns) : ceil_div(p.m, kTileRows);
    const std::int64_t tasks = kTasksPerThread * threads;
    own = Parts(own_strips, std::clamp<std::int64_t>(own_strips / tasks, 1, kChunkBytes / 4 / (own_width() * depth)));
    if (alone) {
      const std::int64_t strips_that_fit = kAlonePanelBytes / 4 / (shared_width() * depth);
      shared = Parts(shared_strips, std::max<std::int64_t>(1, strips_that_fit));
      panels = shared.count * depths;
      panel_depth = depth;
      packs = 0;
    } else {
      const std::int64_t depths_that_fit =
          std::max<std::int64_t>(1, kPanelBytes / 4 / (shared_strips * shared_width() * depth));
      panels = ceil_div(depths, depths_that_fit);
      panel_depth = depth * ceil_div(depths, panels);
      panels = ceil_div(p.k, panel_depth);
      packs = shared_direct ? 0 : std::min<std::int64_t>(shared_strips, 4 * threads);
      const std::int64_t parts = std::clamp<std::int64_t>(ceil_div(tasks, own.count), 1,
                                                          std::max<std::int64_t>(1, shared_strips / kMinSharedStrips));
      shared = Parts(shared_strips, ceil_div(shared_strips, parts));
    }
    // Rows are read for the strips of a panel, where each thread has its own.
    const std::int64_t strips_of_a_row = alone ? shared.each : shared.strips;
    const std::int64_t row_bytes = p.lda * static_cast<std::int64_t>(sizeof(float));
    own_packed = !own_direct && (shares_a || strips_of_a_row >= kMinStripsToPack || row_bytes % kSetBytes == 0);
  }

  std::int64_t shared_width() const { return shares_a ? kTileRows : kTileColumns; }
  std::int64_t own_width() const { return shares_a ? kTileColumns : kTileRows; }
  /// Of a panel: one for every pair of parts, or for every part of the own operand.
  std::int64_t multiplications() const { return alone ? own.count : shared.count * own.count; }
  std::int64_t parts_of_c() const { return shared.count * own.count; }
  /// Panels that add to the same part of C.
  std::int64_t turns() const { return alone ? depths : panels; }
  std::int64_t turn(std::int64_t panel) const { return panel % turns(); }
  std::int64_t buffers(int threads) const {
    return shared_direct ? 0 : alone ? threads : std::min<std::int64_t>(2, panels);
  }
  std::int64_t shares(int threads) const { return 2 * panels * threads; }
  std::int64_t panel_floats() const {
    return round_up((alone ? shared.each : shared.strips) * shared_width() * panel_depth, 16);
  }
  std::int64_t chunk_floats() const { return own_direct ? 0 : round_up(own.each * own_width() * depth, 16); }
};

using Counter = std::atomic<std::int32_t>;  // these only grow

/// How far a panel is.
struct PanelState {
  Counter taken{0}, packed{0}, multiplied{0};  // packing tasks begun and done, multiplications done
};

void wait_until(const Counter& counter, std::int64_t value) {
  constexpr int kSpins = 4000;  // a few microseconds; after that the processor may be needed by whom we wait for
  for (int spin = 0; counter.load(std::memory_order_acquire) < value; ++spin) {
    if (spin >= kSpins) ::sched_yield();
  }
}

template <bool shares_a>
class Product {
 public:
  static constexpr int kSharedWidth = shares_a ? kTileRows : kTileColumns;
  static constexpr int kOwnWidth = shares_a ? kTileColumns : kTileRows;

  Product(const GemmProblem& problem, const Cut& cut, void* scratch)
      : p_(problem),
        cut_(cut),
        shared_(shares_a ? lines_of_a(problem) : lines_of_b(problem)),
        own_(shares_a ? lines_of_b(problem) : lines_of_a(problem)) {
    panels_ = static_cast<float*>(scratch);
    chunks_ = panels_ + cut_.buffers(threads()) * cut_.panel_floats();
    shares_ = reinterpret_cast<Share*>(chunks_ + threads() * cut_.chunk_floats());
    for (std::int64_t i = 0; i < cut_.shares(threads()); ++i) new (shares_ + i) Share;
    states_ = reinterpret_cast<PanelState*>(shares_ + cut_.shares(threads()));
    for (std::int64_t panel = 0; panel < cut_.panels; ++panel) {
      new (states_ + panel) PanelState;
      for (int thread = 0; thread < threads(); ++thread) {
        const std::int64_t begin = cut_.multiplications() * thread / threads();
        const std::int64_t end = cut_.multiplications() * (thread + 1) / threads();
        const bool packs_between = cut_.packs > 0 && panel + 1 < cut_.panels;
        const std::int64_t middle = packs_between ? begin + (end - begin) / 2 : end;
        shares(panel, 0)[thread].fill(begin, middle);
        shares(panel, 1)[thread].fill(middle, end);
      }
    }
    finished_ = reinterpret_cast<Counter*>(states_ + cut_.panels);
    for (std::int64_t i = 0; i < cut_.parts_of_c(); ++i) new (finished_ + i) Counter(0);
  }

  // The order of the work: the packing of panel 0; then for every panel the first half of each thread's
  // multiplications, the packing of the next panel, the other half. Every thread goes through all of it and takes what
  // is not yet taken. Who waits does so for work further up, which somebody has taken and is at. Where threads pack
  // alone, one does so when it first takes a multiplication of a panel.
  void work(int thread) {
    pack_panel(0);
    for (std::int64_t panel = 0; panel < cut_.panels; ++panel) {
      multiply_half(panel, 0, thread);
      if (panel + 1 == cut_.panels) break;
      pack_panel(panel + 1);
      multiply_half(panel, 1, thread);
    }
  }

 private:
  Share* shares(std::int64_t panel, int half) const { return shares_ + (2 * panel + half) * threads(); }

  void pack_panel(std::int64_t panel) {
    if (cut_.packs == 0) return;
    for (std::int32_t piece; (piece = states_[panel].taken.fetch_add(1, std::memory_order_relaxed)) < cut_.packs;) {
      pack(panel, piece);
    }
  }

  void multiply_half(std::int64_t panel, int half, int thread) {
    bool packed = !cut_.alone;
    for (std::int64_t index; (index = take_share(shares(panel, half), threads(), thread)) != Share::kNone;) {
      if (!packed) pack_alone(panel, thread), packed = true;
      multiply(panel, index, thread);
    }
  }

  float* panel_data(std::int64_t panel, int thread) const {
    return panels_ + (cut_.alone ? thread : panel % cut_.buffers(threads())) * cut_.panel_floats();
  }

  /// f(k within the matrix, depth, k within the panel) for the depth blocks of a panel.
  template <class F>
  void for_each_depth(std::int64_t panel, F&& f) const {
    const std::int64_t begin = cut_.turn(panel) * cut_.panel_depth, end = std::min(begin + cut_.panel_depth, p_.k);
    for (std::int64_t k = begin; k < end; k += cut_.depth) f(k, std::min(cut_.depth, end - k), k - begin);
  }

  /// Packs some strips of a panel. Depth blocks follow each other in the panel, strips in a depth block.
  void pack(std::int64_t panel, std::int64_t piece) {
    if (panel >= 2) wait_until(states_[panel - 2].multiplied, cut_.multiplications());  // it has the same buffer
    const std::int64_t begin = cut_.shared.strips * piece / cut_.packs * kSharedWidth;
    const std::int64_t end = std::min(cut_.shared.strips * (piece + 1) / cut_.packs * kSharedWidth, shared_.count);
    for_each_depth(panel, [&](std::int64_t k, std::int64_t depth, std::int64_t k_in_panel) {
      float* const block = panel_data(panel, 0) + k_in_panel * cut_.shared.strips * kSharedWidth;
      pack_shared({begin, end}, k, depth, block + begin * depth);
    });
    states_[panel].packed.fetch_add(1, std::memory_order_acq_rel);
  }

  void pack_alone(std::int64_t panel, int thread) {
    for_each_depth(panel, [&](std::int64_t k, std::int64_t depth, std::int64_t) {
      pack_shared(shared_part(panel / cut_.depths), k, depth, panel_data(panel, thread));
    });
  }

  struct Range {
    std::int64_t begin, end;
  };

  void pack_shared(Range lines, std::int64_t k, std::int64_t depth, float* to) {
    detail::pack_lines<kSharedWidth>(shared_.data + lines.begin * shared_.step_line + k, shared_.step_line,
                                     lines.end - lines.begin, depth, to);
  }

  /// The lines of a part.
  Range shared_part(std::int64_t part) const {
    const std::int64_t begin = part * cut_.shared.each * kSharedWidth;
    return {begin, std::min(begin + cut_.shared.each * kSharedWidth, shared_.count)};
  }

  void multiply(std::int64_t panel, std::int64_t index, int thread) {
    const std::int64_t part_of_c =
        cut_.alone ? index * cut_.shared.count + panel / cut_.depths : index;  // own parts are rows of shared parts
    const std::int64_t own_begin = part_of_c / cut_.shared.count * cut_.own.each * kOwnWidth;
    const std::int64_t own_end = std::min(own_begin + cut_.own.each * kOwnWidth, own_.count);
    const Range part = shared_part(part_of_c % cut_.shared.count);
    const std::int64_t first_packed = cut_.alone ? part.begin : 0;
    float* const chunk = chunks_ + thread * cut_.chunk_floats();
    wait_until(finished_[part_of_c], cut_.turn(panel));  // the panel before adds to the same part of C
    wait_until(states_[panel].packed, cut_.packs);
    for_each_depth(panel, [&](std::int64_t k, std::int64_t depth, std::int64_t k_in_panel) {
      if (cut_.own_packed) {
        detail::pack_lines<kOwnWidth>(own_.data + own_begin * own_.step_line + k, own_.step_line, own_end - own_begin,
                                      depth, chunk);
      }
      for (std::int64_t line = part.begin; line < part.end; line += kSharedWidth) {
        const Strip shared_strip =
            cut_.shared_direct ? shared_.strip(line, k, kSharedWidth)
                               : Strip{panel_data(panel, thread) + k_in_panel * cut_.shared.strips * kSharedWidth +
                                           (line - first_packed) * depth,
                                       kSharedWidth, kSharedWidth * depth};
        for (std::int64_t own_line = own_begin; own_line < own_end; own_line += kOwnWidth) {
          const Strip own_strip = cut_.own_packed
                                      ? Strip{chunk + (own_line - own_begin) * depth, kOwnWidth, kOwnWidth * depth}
                                      : own_.strip(own_line, k, kOwnWidth);
          if constexpr (shares_a) {
            multiply_tile(line, own_line, k, depth, shared_strip, own_strip);
          } else {
            multiply_tile(own_line, line, k, depth, own_strip, shared_strip);
          }
        }
      }
    });
    if (p_.finish.apply != nullptr) finish_streams();
    if (cut_.panels == 1) return;  // nobody waits
    finished_[part_of_c].fetch_add(1, std::memory_order_acq_rel);
    states_[panel].multiplied.fetch_add(1, std::memory_order_acq_rel);
  }

  void multiply_tile(std::int64_t row, std::int64_t column, std::int64_t k, std::int64_t depth, Strip a,
                     Strip b) const {
    const std::int64_t rows = std::min<std::int64_t>(kTileRows, p_.m - row);
    const std::int64_t columns = std::min<std::int64_t>(kTileColumns, p_.n - column);
    float* const c = p_.c + row * p_.ldc + column;
    detail::multiply_strips_for(rows, columns, a.line)(depth, a, b, c, p_.ldc, columns, p_.accumulate || k > 0);
    if (k + depth == p_.k && p_.finish.apply != nullptr) {
      p_.finish.apply(p_.finish.context, {c, row, column, rows, columns});
    }
  }

  const GemmProblem& p_;
  const Cut& cut_;
  const Lines shared_, own_;
  float *panels_, *chunks_;
  Share* shares_;  // by panel, half and thread: its multiplications
  PanelState* states_;
  Counter* finished_;  // by multiplication: panels it has done
};

template <bool shares_a>
void run(const GemmProblem& problem, const Cut& cut, void* scratch) {
  Product<shares_a> product(problem, cut, scratch);
  const auto flops =
      2 * static_cast<double>(problem.m) * static_cast<double>(problem.n) * static_cast<double>(problem.k);
  if (flops < kMinParallelFlops) {
    product.work(0);
  } else {
    parallel_tasks(threads(), [&](std::int64_t, int thread) { product.work(thread); });
  }
}

/// k = 0: an empty sum.
void clear(const GemmProblem& p) {
  for (std::int64_t row = 0; row < p.m; ++row) {
    float* const c = p.c + row * p.ldc;
    if (!p.accumulate) std::fill(c, c + p.n, 0.0f);
    if (p.finish.apply != nullptr) p.finish.apply(p.finish.context, {c, row, 0, 1, p.n});
  }
  finish_streams();
}

template <int vectors, bool whole>
constexpr auto kernels_by_rows() {
  return []<int... rows>(std::integer_sequence<int, rows...>) {
    return std::array<detail::MultiplyStrips, kTileRows>{&detail::multiply_strips<rows + 1, vectors, whole, false>...};
  }
  (std::make_integer_sequence<int, kTileRows>{});
}

}  // namespace

detail::MultiplyStrips detail::multiply_strips_for(std::int64_t rows, std::int64_t columns, std::int64_t line) {
  if (rows == kTileRows && columns == kTileColumns && line == 1) {
    return &multiply_strips<kTileRows, kTileVectors, true, true>;
  }
  static constexpr auto narrow = kernels_by_rows<1, false>();
  static constexpr auto wide = kernels_by_rows<kTileVectors, false>();
  static constexpr auto whole = kernels_by_rows<kTileVectors, true>();
  const auto row = static_cast<std::size_t>(rows - 1);
  return columns == kTileColumns ? whole[row] : columns > kVecWidth ? wide[row] : narrow[row];
}

std::size_t gemm_scratch(const GemmProblem& problem, int threads) {
  if (problem.m <= 0 || problem.n <= 0 || problem.k <= 0) return 0;
  const Cut cut(problem, threads);
  const std::int64_t floats = cut.buffers(threads) * cut.panel_floats() + threads * cut.chunk_floats();
  return static_cast<std::size_t>(floats) * sizeof(float) +
         static_cast<std::size_t>(cut.shares(threads)) * sizeof(Share) +
         static_cast<std::size_t>(cut.panels) * sizeof(PanelState) +
         static_cast<std::size_t>(cut.parts_of_c()) * sizeof(Counter);
}

void gemm(const GemmProblem& problem, void* scratch) {
  if (problem.m <= 0 || problem.n <= 0) return;
  if (problem.k <= 0) return clear(problem);
  const Cut cut(problem, threads());
  cut.shares_a ? run<true>(problem, cut, scratch) : run<false>(problem, cut, scratch);
}

}  // namespace isoloss
