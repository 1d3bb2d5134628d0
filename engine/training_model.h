// What is trained: the graphs of a model, planned, then allocated; its evaluation; its way to files and back.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "engine/executor.h"
#include "engine/optimizer.h"
#include "engine/run_config.h"
#include "engine/safetensors.h"

namespace isoloss {

/// Builds the graphs of the model that is trained; the engine knows no architecture. Both declare the same parameters
/// and have the roles `ids`, `targets`, `loss` and `token_losses`; metrics are those of the training graph.
struct ModelGraphs {
  std::function<Graph(ParameterStore&, std::int64_t rows, int micro_batches, DType real)> training;
  std::function<Graph(ParameterStore&, std::int64_t rows, DType real)> evaluation;
  std::int64_t context = 0;
};

/// The dtype of activations and of the parameters that graphs read. Masters, gradients and moments are always float32.
inline DType real_of(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

/// Everything about a training run's memory and arithmetic that is known before anything is allocated.
struct TrainingPlan {
  TrainingPlan(const ModelGraphs& graphs, const RunConfig& config, DeviceKind device);

  DeviceKind device;
  DType real;            ///< of activations
  std::int64_t rows;     ///< sequences per micro-batch
  int micro_batches;     ///< per optimizer step
  ParameterStore store;  ///< laid out, not allocated
  Graph training, evaluation;
  MemoryPlan training_memory, evaluation_memory;
  int moment_ranges;
  std::size_t optimizer_scratch;

  /// Exact FLOPs of one optimizer step: forward and backward of all micro-batches. The optimizer's own work is left
  /// out, since it depends on the batch size and not on the tokens.
  Cost step_cost() const;
  std::size_t parameter_bytes() const;   ///< values, their copy in bf16, gradients and moments
  std::size_t activation_bytes() const;  ///< arena and scratch, shared by training and evaluation
  std::size_t total_bytes() const { return parameter_bytes() + activation_bytes() + optimizer_scratch; }
};

/// The largest smaller micro-batch whose plan takes at most `bytes`, 0 when there is none.
std::int64_t fitting_micro_batch(const ModelGraphs& graphs, const RunConfig& config, DeviceKind device,
                                 std::size_t bytes);

/// Throws Error (exit 1) where a CUDA device has not the free memory that the plan takes, naming the micro-batch that
/// would fit. The host's memory is virtual, and nobody knows how much of it is free: there an Error (exit 2) is thrown
/// where the plan takes more than the machine has at all.
void expect_fits(const TrainingPlan& plan, const ModelGraphs& graphs, const RunConfig& config, const Machine& machine);

/// The model in memory: parameters, and executors for training and evaluation that share one arena.
class TrainingModel {
 public:
  TrainingModel(TrainingPlan plan, const RunConfig& config, const Machine& machine);

  ParameterStore& store() { return store_; }
  const ParameterStore& store() const { return store_; }
  Executor& training() { return *training_; }
  Executor& evaluation() { return *evaluation_; }
  Optimizer& optimizer() { return *optimizer_; }
  int micro_batches() const { return micro_batches_; }
  std::int64_t rows() const { return rows_; }
  const Cost& step_cost() const { return step_cost_; }
  const Machine& machine() const { return store_.machine(); }

 private:
  std::int64_t rows_;
  int micro_batches_;
  Cost step_cost_;
  ParameterStore store_;
  std::shared_ptr<Arena> arena_;
  std::unique_ptr<Executor> training_, evaluation_;
  std::unique_ptr<Optimizer> optimizer_;
};

/// Mean loss over validation windows: `loss` is the mean over all targets, summed in double in their order; `blocks`
/// the means of up to 64 contiguous, equally long blocks (the last may be shorter).
struct Evaluation {
  double loss = 0;
  std::vector<double> blocks;
  std::uint64_t tokens = 0;
};
Evaluation evaluate(Executor& executor, const EvalWindows& windows, const std::function<bool()>& stop = {});

/// Tensors of a model or its moments as files hold them: padding rows cut off. Host memory: on a machine with its own,
/// what the store's to_host() last fetched.
std::vector<NamedTensor> model_tensors(const ParameterStore& store);
std::vector<NamedTensor> optimizer_tensors(const ParameterStore& store);
/// The name under which a file holds a parameter; empty: its own.
using StoredName = std::function<std::string(const std::string& parameter)>;
/// Fills the parameters from a file: every one must be there with its shape, and nothing else but what `ignored`
/// accepts.
void load_model(ParameterStore& store, const SafetensorsFile& file, const StoredName& stored_name = {},
                const std::function<bool(const StoredTensor&)>& ignored = {});
void load_optimizer(ParameterStore& store, const std::filesystem::path& moments);

}  // namespace isoloss
