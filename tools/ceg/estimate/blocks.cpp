// The noise of a finite evaluation set: all runs are evaluated on the same text, so its blocks are resampled for all of
// them together.
#include <algorithm>

#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"
#include "tools/ceg/estimate/methods.h"

namespace isoloss::ceg {
namespace {

/// The number of blocks that all points of all runs of the scale have in common, or 0.
std::size_t common_blocks(const std::vector<Run>& runs, const std::vector<std::size_t>& members) {
  const std::size_t count = runs[members.front()].points.front().block_losses.size();
  for (const std::size_t run : members) {
    for (const Point& point : runs[run].points) {
      if (point.block_losses.size() != count) return 0;
    }
  }
  return count >= 2 ? count : 0;
}

/// The run's losses when block b counts weights[b] times: its loss plus what the resample moves the mean of its blocks.
std::vector<double> moved_losses(const Run& run, const std::vector<double>& weights) {
  std::vector<double> losses;
  losses.reserve(run.points.size());
  const double n = static_cast<double>(weights.size());
  for (const Point& point : run.points) {
    double shift = 0;
    for (std::size_t b = 0; b < weights.size(); ++b) shift += (weights[b] - 1) * point.block_losses[b];
    losses.push_back(point.val_loss + shift / n);
  }
  return losses;
}

}  // namespace

std::vector<std::vector<std::vector<double>>> block_replicates(const Context& context, const ScaleGroup& group,
                                                               int& block_count) {
  const std::size_t arms = group.arms.size(), costs = context.costs.size();
  std::vector<std::vector<std::vector<double>>> replicates(costs, std::vector<std::vector<double>>(arms));
  std::vector<std::size_t> members = group.baseline.runs;
  for (const Arm& arm : group.arms) members.insert(members.end(), arm.runs.begin(), arm.runs.end());
  const std::size_t blocks = common_blocks(context.runs, members);
  block_count = static_cast<int>(blocks);
  if (blocks == 0) return replicates;

  const auto resamples = static_cast<std::size_t>(context.options.resamples);
  for (auto& by_arm : replicates) {
    for (auto& values : by_arm) values.resize(resamples);
  }
  constexpr std::size_t chunk = 50;  // replicates that share one copy of the curves
  const std::size_t tasks = (resamples + chunk - 1) / chunk;
  parallel_tasks(static_cast<std::int64_t>(tasks), [&](std::int64_t task) {
    Context moved = context;
    const std::size_t begin = static_cast<std::size_t>(task) * chunk, end = std::min(begin + chunk, resamples);
    for (std::size_t r = begin; r < end; ++r) {
      std::vector<double> weights(blocks, 0.0);
      for (const std::size_t b : draw(context.options.seed, hash_name("evaluation blocks"), r, blocks)) weights[b] += 1;
      for (const std::size_t run : members) {
        const std::vector<double> losses = moved_losses(context.runs[run], weights);
        for (std::size_t c = 0; c < costs; ++c) {
          ReducedCurve& curve = moved.reduced[c][run];
          std::vector<double> taken;
          taken.reserve(curve.points.size());
          for (const std::size_t point : curve.points) taken.push_back(losses[point]);
          curve.set_losses(std::move(taken));
        }
      }
      for (std::size_t c = 0; c < costs; ++c) {
        for (std::size_t a = 0; a < arms; ++a) {
          if (group.arms[a].runs.empty()) continue;
          const Sides sides = moved.sides(c, group.baseline, group.arms[a]);
          const double target = target_for(context.options, sides.baseline);
          replicates[c][a][r] = crossings_at(sides, target).log_ceg();
        }
      }
    }
  });
  return replicates;
}

}  // namespace isoloss::ceg
