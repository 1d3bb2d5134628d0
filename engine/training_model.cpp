#include "engine/training_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "engine/memory_limit.h"
#include "kernels/base/error.h"
#include "kernels/base/parallel.h"

namespace isoloss {

namespace {
/// Batches on their way, results, borders of pieces: what a run takes of a device besides its plan, at most.
constexpr std::size_t kBesidesThePlan = std::size_t{64} << 20;
}  // namespace

TrainingPlan::TrainingPlan(const ModelGraphs& graphs, const RunConfig& config, DeviceKind on)
    : device(on),
      real(real_of(config.run.precision)),
      rows(config.run.micro_batch),
      micro_batches(static_cast<int>(config.run.batch_tokens / (config.run.micro_batch * graphs.context))),
      training(graphs.training(store, rows, micro_batches, real)),
      evaluation(graphs.evaluation(store, rows, real)),
      training_memory(plan_memory(training, device, threads())),
      evaluation_memory(plan_memory(evaluation, device, threads())),
      moment_ranges(Optimizer::moment_ranges(config.optimizer)) {
  if (device == DeviceKind::cuda) {
    training.check_cuda();
    evaluation.check_cuda();
  }
  store.lay_out();
  optimizer_scratch = Optimizer::scratch_bytes(store.elements(), store.dtype(), device);
}

Cost TrainingPlan::step_cost() const {
  Cost cost = training.cost();
  const double times = micro_batches;  // whole numbers below 2^53: exact
  cost.flops *= times, cost.matmul_flops *= times, cost.bytes *= times;
  return cost;
}

std::size_t TrainingPlan::parameter_bytes() const {
  const auto elements = static_cast<std::size_t>(store.elements());
  const std::size_t copy = real == DType::bf16 ? elements * bytes_of(real) : 0;
  return elements * bytes_of(store.dtype()) * static_cast<std::size_t>(2 + moment_ranges) + copy;
}

std::size_t TrainingPlan::activation_bytes() const {
  return std::max(training_memory.arena_bytes, evaluation_memory.arena_bytes) +
         std::max(training_memory.scratch_bytes, evaluation_memory.scratch_bytes);
}

std::int64_t fitting_micro_batch(const ModelGraphs& graphs, const RunConfig& config, DeviceKind device,
                                 std::size_t bytes) {
  const std::int64_t sequences = config.run.batch_tokens / graphs.context;
  for (std::int64_t rows = config.run.micro_batch - 1; rows > 0; --rows) {
    if (sequences % rows != 0) continue;
    RunConfig smaller = config;
    smaller.run.micro_batch = rows;
    if (TrainingPlan(graphs, smaller, device).total_bytes() <= bytes) return rows;
  }
  return 0;
}

void expect_fits(const TrainingPlan& plan, const ModelGraphs& graphs, const RunConfig& config, const Machine& machine) {
  const auto mebi = [](std::size_t bytes) { return static_cast<double>(bytes) / 1048576.0; };
  if (machine.on_host()) {
    const MemoryLimit limit = memory_limit();
    if (plan.total_bytes() > limit.bytes) {
      fail_input("memory", fmt::format("a run that fits into the {:.0f} MiB of {}", mebi(limit.bytes), limit.of),
                 fmt::format("one of {:.0f} MiB, as --plan says", mebi(plan.total_bytes())));
    }
    return;
  }
  const std::size_t free = machine.cuda().free_memory(), needed = plan.total_bytes() + kBesidesThePlan;
  if (needed <= free) return;
  const std::int64_t fitting =
      fitting_micro_batch(graphs, config, machine.kind(), free > kBesidesThePlan ? free - kBesidesThePlan : 0);
  fail_run("device memory",
           fmt::format("at least {:.0f} MiB free{}", mebi(needed),
                       fitting > 0 ? fmt::format(" (run.micro_batch = {} would fit)", fitting) : ""),
           fmt::format("{:.0f} MiB, {:.0f} too few", mebi(free), mebi(needed - free)));
}

TrainingModel::TrainingModel(TrainingPlan plan, const RunConfig& config, const Machine& machine)
    : rows_(plan.rows), micro_batches_(plan.micro_batches), step_cost_(plan.step_cost()) {
  // Pieces of one allocation start on 256-byte borders; there are a dozen of them.
  machine.reserve(plan.total_bytes() + 16 * 256);
  store_ = std::move(plan.store);
  store_.allocate(/*with_gradients=*/true, machine, plan.real);
  optimizer_ = std::make_unique<Optimizer>(config.optimizer, store_);
  arena_ = std::make_shared<Arena>(machine);
  // At once in its final size: growing would take a second piece.
  arena_->reserve(std::max(plan.training_memory.arena_bytes, plan.evaluation_memory.arena_bytes),
                  std::max(plan.training_memory.scratch_bytes, plan.evaluation_memory.scratch_bytes));
  training_ = std::make_unique<Executor>(std::move(plan.training), store_, machine, arena_);
  evaluation_ = std::make_unique<Executor>(std::move(plan.evaluation), store_, machine, arena_);
}

Evaluation evaluate(Executor& executor, const EvalWindows& windows, const std::function<bool()>& stop) {
  const Graph& graph = executor.graph();
  const Shape& shape = graph.value(graph.roles.ids).type.shape;
  const std::int64_t rows = shape[0], context = shape[1];
  const DType real = graph.value(graph.roles.token_losses).type.dtype;
  std::vector<std::int32_t> ids(static_cast<std::size_t>(rows * context)), targets(ids.size());
  std::vector<double> wide(real == DType::f64 ? ids.size() : 0);
  std::vector<float> narrow(real == DType::f64 ? 0 : ids.size());
  const auto count = static_cast<std::int64_t>(windows.windows());
  const std::int64_t block_windows = (count + 63) / 64;
  Evaluation result;
  result.tokens = windows.tokens();
  double block_sum = 0, sum = 0;
  for (std::int64_t first = 0; first < count; first += rows) {
    if (stop && stop()) break;
    const std::int64_t take = std::min(rows, count - first);
    windows.batch(static_cast<std::uint64_t>(first), take, ids.data(), targets.data());
    // The graph has a fixed number of rows: the last, partial batch is filled up and its surplus not counted.
    std::fill(ids.begin() + take * context, ids.end(), 0);
    std::fill(targets.begin() + take * context, targets.end(), 0);
    executor.write(graph.roles.ids, ids.data());
    executor.write(graph.roles.targets, targets.data());
    executor.run({});
    executor.read(graph.roles.token_losses, real == DType::f64 ? static_cast<void*>(wide.data()) : narrow.data());
    for (std::int64_t row = 0; row < take; ++row) {
      double window_sum = 0;
      for (std::int64_t t = 0; t < context; ++t) {
        const auto at = static_cast<std::size_t>(row * context + t);
        window_sum += real == DType::f64 ? wide[at] : static_cast<double>(narrow[at]);
      }
      sum += window_sum, block_sum += window_sum;
      const std::int64_t window = first + row;
      if ((window + 1) % block_windows == 0 || window + 1 == count) {
        const std::int64_t in_block = window % block_windows + 1;
        result.blocks.push_back(block_sum / static_cast<double>(in_block * context));
        block_sum = 0;
      }
    }
  }
  result.loss = sum / static_cast<double>(result.tokens);
  return result;
}

namespace {
std::vector<std::int64_t> stored_shape(const ParameterInfo& info) {
  std::vector<std::int64_t> shape{info.rows};
  for (int i = 1; i < info.shape.rank(); ++i) shape.push_back(info.shape[i]);
  return shape;
}

std::string moment_name(int range, const std::string& parameter) {
  return fmt::format("moment{}.{}", range, parameter);
}

void load(const SafetensorsFile& file, const std::string& name, const ParameterInfo& info, const Tensor& tensor) {
  const StoredTensor& stored = file.at(name, stored_shape(info));
  const auto used = static_cast<std::size_t>(info.used()), all = static_cast<std::size_t>(info.count());
  if (tensor.type.dtype == DType::f64) {
    read_values(stored, {tensor.as<double>(), used}, file.path().string());
    std::fill(tensor.as<double>() + used, tensor.as<double>() + all, 0.0);
  } else {
    read_values(stored, {tensor.as<float>(), used}, file.path().string());
    std::fill(tensor.as<float>() + used, tensor.as<float>() + all, 0.0f);
  }
}
}  // namespace

std::vector<NamedTensor> model_tensors(const ParameterStore& store) {
  std::vector<NamedTensor> tensors;
  for (const ParameterInfo& info : store.all()) {
    tensors.push_back({info.name, store.dtype(), stored_shape(info), store.host_value(info.name).data});
  }
  return tensors;
}

std::vector<NamedTensor> optimizer_tensors(const ParameterStore& store) {
  std::vector<NamedTensor> tensors;
  for (int range = 0; range < store.moment_ranges(); ++range) {
    for (const ParameterInfo& info : store.all()) {
      tensors.push_back(
          {moment_name(range, info.name), store.dtype(), stored_shape(info), store.host_moment(range, info.name).data});
    }
  }
  return tensors;
}

void load_model(ParameterStore& store, const SafetensorsFile& file, const StoredName& stored_name,
                const std::function<bool(const StoredTensor&)>& ignored) {
  store.to_host(ParameterStore::Part::values);
  std::set<std::string> loaded;
  for (const ParameterInfo& info : store.all()) {
    const std::string name = stored_name ? stored_name(info.name) : info.name;
    load(file, name, info, store.host_value(info.name));
    loaded.insert(name);
  }
  for (const StoredTensor& tensor : file.tensors()) {
    if (loaded.contains(tensor.name) || (ignored && ignored(tensor))) continue;
    fail_input(file.path().string(), "only tensors that the configured model has", tensor.name);
  }
  store.to_machine(ParameterStore::Part::values);
}

void load_optimizer(ParameterStore& store, const std::filesystem::path& moments) {
  const SafetensorsFile file(moments);
  store.to_host(ParameterStore::Part::moments);
  for (int range = 0; range < store.moment_ranges(); ++range) {
    for (const ParameterInfo& info : store.all()) {
      load(file, moment_name(range, info.name), info, store.host_moment(range, info.name));
    }
  }
  store.to_machine(ParameterStore::Part::moments);
}

}  // namespace isoloss
