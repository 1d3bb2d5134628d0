// What cuDNN is asked to compute for attention, as plain data: tensors with their strides, and operations between them.
//
// cuDNN has no attention call. It has graphs of products, reductions and pointwise operations, and engines that know
// some graphs as a whole: those of attention run as one kernel, with the inner tensors (scores, probabilities) never in
// memory. An engine recognises a graph by its form, so the form is given, operation by operation, by the ones that
// NVIDIA composes in its own frontend (github.com/NVIDIA/cudnn-frontend, scaled_dot_product_flash_attention.h); what is
// ours are the strides, which reach into packed tokens, and the bindings to an op's tensors.
//
// Nothing here needs cuDNN or a GPU, so the tests check every number; cudnn.plan.h hands a graph over to cuDNN.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/ops/attention/attention.h"

namespace isoloss {

/// What the memory of a tensor is part of. `inner` has none: it lives within a kernel. `constant` is a number that is
/// passed with the call.
enum class CudnnSource : std::uint8_t { inner, constant, qkv, y, lse, dy, dqkv, scratch };

enum class CudnnType : std::uint8_t { bf16, f32, i32, boolean };

/// Four dimensions with a stride each, in elements.
struct CudnnTensor {
  CudnnType type = CudnnType::f32;
  std::array<std::int64_t, 4> size{1, 1, 1, 1}, stride{1, 1, 1, 1};
  CudnnSource source = CudnnSource::inner;
  std::int64_t offset = 0;  ///< of the first element from the start of its source, in elements
  float value = 0;          ///< of a constant
};

enum class CudnnKind : std::uint8_t {
  product,           ///< matrices of the last two dimensions
  largest,           ///< over the dimensions that are 1 in the output
  sum,               ///< likewise
  reshape,           ///< the same elements under other dimensions and strides
  copy,              ///< into another type
  add,               ///< a + b, broadcast like all that follow
  subtract,          ///< a - b
  multiply,          ///< a · b
  divide,            ///< a / b
  exponential,       ///< e^a
  logarithm,         ///< ln a
  index,             ///< of each element along the dimension `axis`
  greater_or_equal,  ///< a >= b
  greater,           ///< a > b
  select,            ///< c ? a : b
};

/// Tensors are named by their place in CudnnGraph::tensors.
struct CudnnOperation {
  CudnnKind kind;
  std::vector<std::size_t> in;
  std::size_t out;
  CudnnType arithmetic = CudnnType::f32;
  std::int64_t axis = -1;
};

struct CudnnGraph {
  std::vector<CudnnTensor> tensors;
  std::vector<CudnnOperation> operations;
};

/// The first element of each source of a call; null where a graph has no tensor of it.
struct CudnnMemory {
  void *qkv = nullptr, *y = nullptr, *lse = nullptr, *dy = nullptr, *dqkv = nullptr, *scratch = nullptr;
};

/// Where a tensor begins that is not inner; a constant is its own memory.
void* cudnn_address(CudnnTensor& tensor, const CudnnMemory& memory);

/// What cuDNN calls a tensor: unique within a graph and never 0.
constexpr std::int64_t cudnn_id(std::size_t tensor) { return static_cast<std::int64_t>(tensor) + 1; }

/// qkv -> y, lse. One graph whether lse is wanted or not: without it another engine could be the first, with other
/// bits.
CudnnGraph cudnn_forward(const AttentionDims& dims);

/// qkv, y, lse, dy -> dqkv, with delta [B,H,T] float32 in scratch. dQ is one product over all keys, which costs a
/// workspace for dS; the form without it adds up dQ in the order in which blocks finish, so its bits would change.
CudnnGraph cudnn_backward(const AttentionDims& dims);

}  // namespace isoloss
