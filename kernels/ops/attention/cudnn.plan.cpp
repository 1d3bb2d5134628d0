#include "kernels/ops/attention/cudnn.plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace isoloss {

namespace {

constexpr std::int64_t kAlignment = 16;  ///< bytes, of every address that cuDNN gets

cudnnDataType_t cudnn_type(CudnnType type) {
  switch (type) {
    case CudnnType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case CudnnType::i32:
      return CUDNN_DATA_INT32;
    case CudnnType::boolean:
      return CUDNN_DATA_BOOLEAN;
    case CudnnType::f32:
      break;
  }
  return CUDNN_DATA_FLOAT;
}

std::optional<cudnnPointwiseMode_t> pointwise_mode(CudnnKind kind) {
  switch (kind) {
    case CudnnKind::copy:
      return CUDNN_POINTWISE_IDENTITY;
    case CudnnKind::add:
      return CUDNN_POINTWISE_ADD;
    case CudnnKind::subtract:
      return CUDNN_POINTWISE_SUB;
    case CudnnKind::multiply:
      return CUDNN_POINTWISE_MUL;
    case CudnnKind::divide:
      return CUDNN_POINTWISE_DIV;
    case CudnnKind::exponential:
      return CUDNN_POINTWISE_EXP;
    case CudnnKind::logarithm:
      return CUDNN_POINTWISE_LOG;
    case CudnnKind::index:
      return CUDNN_POINTWISE_GEN_INDEX;
    case CudnnKind::greater_or_equal:
      return CUDNN_POINTWISE_CMP_GE;
    case CudnnKind::greater:
      return CUDNN_POINTWISE_CMP_GT;
    case CudnnKind::select:
      return CUDNN_POINTWISE_BINARY_SELECT;
    case CudnnKind::product:
    case CudnnKind::largest:
    case CudnnKind::sum:
    case CudnnKind::reshape:
      break;
  }
  return std::nullopt;
}

/// Makes the descriptors of a graph; they own each other's parts by reference, so all are kept together.
class Translation {
 public:
  Translation(const CudnnLibrary& library, const CudnnGraph& graph, std::vector<CudnnDescriptor>& kept)
      : library_(library), kept_(kept) {
    for (std::size_t i = 0; i < graph.tensors.size(); ++i) tensors_.push_back(tensor(graph.tensors[i], cudnn_id(i)));
    for (const CudnnOperation& operation : graph.operations) operations_.push_back(translate(operation));
  }

  /// The operation graph; with a handle for its device, without one for whatever device the engines are asked about.
  cudnnBackendDescriptor_t operation_graph(cudnnHandle_t handle) {
    CudnnDescriptor made(library_, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "the graph");
    made.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const cudnnBackendDescriptor_t>(operations_));
    if (handle != nullptr) made.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
    return keep(std::move(made));
  }

 private:
  cudnnBackendDescriptor_t keep(CudnnDescriptor made) {
    made.finalize();
    kept_.push_back(std::move(made));
    return kept_.back().get();
  }

  cudnnBackendDescriptor_t tensor(const CudnnTensor& tensor, std::int64_t id) {
    CudnnDescriptor made(library_, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
    made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, cudnn_type(tensor.type));
    made.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(tensor.size));
    made.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(tensor.stride));
    made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
    if (tensor.source == CudnnSource::inner) made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
    if (tensor.source == CudnnSource::constant) made.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
    return keep(std::move(made));
  }

  cudnnBackendDescriptor_t translate(const CudnnOperation& operation) {
    const cudnnDataType_t arithmetic = cudnn_type(operation.arithmetic);
    const cudnnBackendDescriptor_t out = tensors_[operation.out];
    std::vector<cudnnBackendDescriptor_t> in;
    for (const std::size_t tensor : operation.in) in.push_back(tensors_[tensor]);
    if (operation.kind == CudnnKind::product) {
      CudnnDescriptor how(library_, CUDNN_BACKEND_MATMUL_DESCRIPTOR, "a product");
      how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, arithmetic);
      CudnnDescriptor made(library_, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, "a product");
      made.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, keep(std::move(how)));
      made.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, in[0]);
      made.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, in[1]);
      made.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, out);
      return keep(std::move(made));
    }
    if (operation.kind == CudnnKind::reshape) {
      CudnnDescriptor made(library_, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, "a reshape");
      made.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, in[0]);
      made.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, out);
      return keep(std::move(made));
    }
    if (const auto mode = pointwise_mode(operation.kind)) return pointwise(operation, *mode, in, out);
    const bool sums = operation.kind == CudnnKind::sum;
    CudnnDescriptor how(library_, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, "a reduction");
    how.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, arithmetic);
    how.set(CUDNN_ATTR_REDUCTION_OPERATOR, sums ? CUDNN_REDUCE_TENSOR_ADD : CUDNN_REDUCE_TENSOR_MAX);
    CudnnDescriptor made(library_, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, "a reduction");
    made.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, keep(std::move(how)));
    made.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, in[0]);
    made.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, out);
    return keep(std::move(made));
  }

  cudnnBackendDescriptor_t pointwise(const CudnnOperation& operation, cudnnPointwiseMode_t mode,
                                     const std::vector<cudnnBackendDescriptor_t>& in, cudnnBackendDescriptor_t out) {
    CudnnDescriptor how(library_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "a pointwise operation");
    how.set(CUDNN_ATTR_POINTWISE_MODE, mode);
    how.set(CUDNN_ATTR_POINTWISE_MATH_PREC, cudnn_type(operation.arithmetic));
    if (operation.kind == CudnnKind::index) how.set(CUDNN_ATTR_POINTWISE_AXIS, operation.axis);
    CudnnDescriptor made(library_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "a pointwise operation");
    made.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, keep(std::move(how)));
    made.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, in[0]);
    if (in.size() > 1) made.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, in[1]);
    if (in.size() > 2) made.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, in[2]);
    made.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    return keep(std::move(made));
  }

  const CudnnLibrary& library_;
  std::vector<CudnnDescriptor>& kept_;
  std::vector<cudnnBackendDescriptor_t> tensors_, operations_;
};

/// The configurations that cuDNN's heuristics propose for a graph, best first. `device` is null where the graph has a
/// handle.
std::vector<CudnnDescriptor> proposals(const CudnnLibrary& library, cudnnBackendDescriptor_t graph,
                                       const CudnnDescriptor* device) {
  constexpr std::size_t kMost = 32;
  std::vector<CudnnDescriptor> all;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    CudnnDescriptor heuristics(library, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "its heuristics");
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
    if (device != nullptr) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
    heuristics.finalize();
    std::vector<CudnnDescriptor> some;
    std::vector<cudnnBackendDescriptor_t> addresses;
    for (std::size_t i = 0; i < kMost; ++i) {
      addresses.push_back(some.emplace_back(library, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "an engine").get());
    }
    const std::size_t found = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, std::span(addresses));
    for (std::size_t i = 0; i < std::min(found, kMost); ++i) all.push_back(std::move(some[i]));
  }
  return all;
}

/// The engine of a configuration.
struct Engine {
  std::int64_t index;
  bool same_bits;  ///< its results never differ from run to run

  Engine(const CudnnLibrary& library, const CudnnDescriptor& configuration) {
    const CudnnDescriptor engine(library, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "an engine");
    cudnnBackendDescriptor_t address = engine.get();
    configuration.get(CUDNN_ATTR_ENGINECFG_ENGINE, std::span(&address, 1));
    index = engine.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    notes.resize(engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, std::span(notes)));
    same_bits = std::find(notes.begin(), notes.end(), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == notes.end();
  }
};

CudnnDescriptor plan_of(const CudnnLibrary& library, const CudnnDescriptor& configuration,
                        const CudnnDescriptor* device) {
  CudnnDescriptor plan(library, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "a plan");
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (device != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
  plan.finalize();
  return plan;
}

}  // namespace

CudnnPlan::CudnnPlan(const CudnnLibrary& library, CudnnGraph graph, cudnnHandle_t handle)
    : library_(library), graph_(std::move(graph)) {
  const cudnnBackendDescriptor_t whole = Translation(library, graph_, descriptors_).operation_graph(handle);
  std::string why = "no engine";
  for (CudnnDescriptor& configuration : proposals(library, whole, nullptr)) {
    if (!Engine(library, configuration).same_bits) {
      why = "only engines whose bits change from run to run";
      continue;
    }
    try {
      CudnnDescriptor plan = plan_of(library, configuration, nullptr);
      workspace_ = static_cast<std::size_t>(plan.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
      descriptors_.push_back(std::move(configuration));
      descriptors_.push_back(std::move(plan));
      return;
    } catch (const CudaFailure& failure) {  // not on this GPU after all: the next one
      why = failure.what();
    }
  }
  throw CudaFailure(fmt::format("cuDNN has no engine for this attention: {}", why));
}

void CudnnPlan::run(cudnnHandle_t handle, const CudnnMemory& memory, void* workspace) {
  std::vector<std::int64_t> ids;
  std::vector<void*> addresses;
  for (std::size_t i = 0; i < graph_.tensors.size(); ++i) {
    CudnnTensor& tensor = graph_.tensors[i];
    if (tensor.source == CudnnSource::inner) continue;
    ids.push_back(cudnn_id(i));
    addresses.push_back(cudnn_address(tensor, memory));
  }
  CudnnDescriptor pack(library_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "a call");
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(ids));
  pack.set_addresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses);
  pack.set_addresses(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, std::span<void* const>(&workspace, 1));
  pack.finalize();
  library_.check(library_.BackendExecute(handle, descriptors_.back().get(), pack.get()), "a call");
}

CudnnReport cudnn_report(const CudnnLibrary& library, const CudnnGraph& graph, const std::string& device) {
  CudnnDescriptor properties(library, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "a GPU's properties");
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(device));
  properties.finalize();
  std::vector<CudnnDescriptor> kept;
  const cudnnBackendDescriptor_t whole = Translation(library, graph, kept).operation_graph(nullptr);
  CudnnReport report{.engines = {}, .plan = "no engine"};
  for (const CudnnDescriptor& configuration : proposals(library, whole, &properties)) {
    const Engine engine(library, configuration);
    report.engines.push_back(
        {engine.index, engine.same_bits, configuration.get<std::int64_t>(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE)});
    if (report.engines.size() > 1) continue;
    try {
      plan_of(library, configuration, &properties);
      report.plan.clear();
    } catch (const CudaFailure& failure) {
      report.plan = failure.what();
    }
  }
  return report;
}

}  // namespace isoloss
