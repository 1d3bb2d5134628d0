// A cuBLASLt without a GPU, loaded in place of NVIDIA's by its name. It takes what the library takes, checks it by the
// rules in cublasLt.h (sizes of attributes, shapes, leading dimensions, alignment, pointers of epilogues), and
// multiplies column by column, so that a layout described wrongly gives a wrong product. One of the algorithms it
// proposes refuses when it runs, as the real one's may, and products that differ in anything sum in different orders.
#include <cublasLt.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/core/bf16.h"
#include "tests/gpu/stand_in/runtime.h"

namespace {

struct Layout {
  cudaDataType type;
  std::int64_t rows, columns, leading;
  std::int32_t batch = 1;
  std::int64_t stride = 0;

  std::int64_t elements() const { return (batch - 1) * stride + (columns - 1) * leading + rows; }
  std::uint64_t bytes() const { return static_cast<std::uint64_t>(elements()) * element_bytes(); }
  std::uint64_t element_bytes() const { return type == CUDA_R_16BF ? 2 : 4; }
};
struct Operation {
  cublasComputeType_t compute;
  std::int32_t transposes_a = CUBLAS_OP_N, transposes_b = CUBLAS_OP_N, bias_type = -1;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  void* aux = nullptr;
  std::int64_t aux_leading = 0, aux_stride = 0;

  bool has_bias() const { return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
  bool has_gelu() const { return (epilogue & CUBLASLT_EPILOGUE_GELU) != 0; }
  bool has_aux() const { return (epilogue & 128) != 0; }
};
struct Preference {
  std::uint64_t workspace = 0;
  std::uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_MASK, a = 256, b = 256, c = 256, d = 256;
};

template <class Made, class Opaque>
Made& made_of(Opaque* opaque) {
  return *reinterpret_cast<Made*>(opaque);
}

template <class Value>
cublasStatus_t set(Value& value, const void* from, std::size_t bytes) {
  if (from == nullptr || bytes != sizeof value) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&value, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

constexpr std::uint64_t kRefuses = 1, kAlgorithms = 3, kWorkspace = 4096;

/// Whether the shapes belong together and the epilogue is whole.
bool fits(const Operation& operation, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const bool ta = operation.transposes_a == CUBLAS_OP_T, tb = operation.transposes_b == CUBLAS_OP_T;
  const std::int64_t m = ta ? a.columns : a.rows, k = ta ? a.rows : a.columns;
  const std::int64_t n = tb ? b.rows : b.columns, k_of_b = tb ? b.columns : b.rows;
  for (const Layout* layout : {&a, &b, &c, &d}) {
    if (layout->rows <= 0 || layout->columns <= 0 || layout->leading < layout->rows || layout->batch != d.batch)
      return false;
  }
  if (k != k_of_b || d.rows != m || d.columns != n || c.rows != m || c.columns != n) return false;
  if (a.type != b.type || c.type != d.type || (a.type == CUDA_R_32F && d.type != CUDA_R_32F)) return false;
  if (operation.has_bias() && (operation.bias == nullptr || operation.bias_type != a.type)) return false;
  // For which NVIDIA's manual has these rules: a multiple of 8 rows, at least those of the result.
  if (operation.has_aux() && (operation.aux == nullptr || operation.aux_leading < m || operation.aux_leading % 8 != 0))
    return false;
  return operation.compute == CUBLAS_COMPUTE_32F || a.type == CUDA_R_32F;
}

bool divides(std::uint32_t alignment, const Layout& layout) {
  const auto bytes = static_cast<std::int64_t>(layout.element_bytes());
  return layout.leading * bytes % alignment == 0 && (layout.batch == 1 || layout.stride * bytes % alignment == 0);
}

float load(const void* from, cudaDataType type, std::int64_t at) {
  if (type == CUDA_R_16BF) return isoloss::bf16_value(static_cast<const std::uint16_t*>(from)[at]);
  return static_cast<const float*>(from)[at];
}
void store(float value, void* to, cudaDataType type, std::int64_t at) {
  if (type == CUDA_R_16BF) {
    static_cast<std::uint16_t*>(to)[at] = isoloss::bf16_bits(value);
  } else {
    static_cast<float*>(to)[at] = value;
  }
}

/// A call with all that it reads later; pointers in host memory were read already.
struct Call {
  Operation operation;
  Layout a, b, c, d;
  const void *a_data, *b_data, *c_data;
  void* d_data;
  float alpha, beta;

  float element_of_a(std::int64_t item, std::int64_t i, std::int64_t k) const {
    const bool t = operation.transposes_a == CUBLAS_OP_T;
    return load(a_data, a.type, item * a.stride + (t ? i * a.leading + k : k * a.leading + i));
  }
  float element_of_b(std::int64_t item, std::int64_t k, std::int64_t j) const {
    const bool t = operation.transposes_b == CUBLAS_OP_T;
    return load(b_data, b.type, item * b.stride + (t ? k * b.leading + j : j * b.leading + k));
  }

  void run(std::int64_t item) const {
    const std::int64_t depth = operation.transposes_a == CUBLAS_OP_T ? a.rows : a.columns;
    const bool backwards = (operation.epilogue / 4 + (beta != 0 ? 1 : 0) + d.rows + d.columns + depth) % 2 != 0;
    std::vector<float> column(static_cast<std::size_t>(d.rows));
    for (std::int64_t j = 0; j < d.columns; ++j) {
      std::fill(column.begin(), column.end(), 0.0f);
      for (std::int64_t step = 0; step < depth; ++step) {
        const std::int64_t k = backwards ? depth - 1 - step : step;
        const float right = element_of_b(item, k, j);
        for (std::int64_t i = 0; i < d.rows; ++i)
          column[static_cast<std::size_t>(i)] += element_of_a(item, i, k) * right;
      }
      for (std::int64_t i = 0; i < d.rows; ++i) {
        float value = alpha * column[static_cast<std::size_t>(i)];
        if (beta != 0) value += beta * load(c_data, c.type, item * c.stride + j * c.leading + i);
        if (operation.has_bias()) value += load(operation.bias, a.type, i);
        if (operation.has_aux())
          store(value, operation.aux, d.type, item * operation.aux_stride + j * operation.aux_leading + i);
        if (operation.has_gelu()) {
          value =
              0.5f * value * (1.0f + std::tanh(0.79788456080286535588f * (value + 0.044715f * value * value * value)));
        }
        store(value, d_data, d.type, item * d.stride + j * d.leading + i);
      }
    }
  }
  static void run_all(void* argument) {
    const auto* const call = static_cast<const Call*>(argument);
    for (std::int64_t item = 0; item < call->d.batch; ++item) call->run(item);
  }
};

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new char);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<char*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
std::size_t cublasLtGetVersion() { return CUBLAS_VER_MAJOR * 10000; }
const char* cublasLtGetStatusString(cublasStatus_t) { return "a status of the stand-in"; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t compute, cudaDataType scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_INVALID_VALUE;
  *made = reinterpret_cast<cublasLtMatmulDesc_t>(new Operation{.compute = compute});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete &made_of<Operation>(operation);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t described, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  auto& operation = made_of<Operation>(described);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(operation.transposes_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(operation.transposes_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(operation.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(operation.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return set(operation.bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set(operation.aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set(operation.aux_leading, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
      return set(operation.aux_stride, value, bytes);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t leading) {
  *made = reinterpret_cast<cublasLtMatrixLayout_t>(
      new Layout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), leading});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &made_of<Layout>(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t bytes) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return set(made_of<Layout>(layout).batch, value, bytes);
  if (attribute != CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) return CUBLAS_STATUS_INVALID_VALUE;
  return set(made_of<Layout>(layout).stride, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  *made = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete &made_of<Preference>(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t made,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  auto& preference = made_of<Preference>(made);
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return set(preference.workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return set(preference.schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return set(preference.a, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return set(preference.b, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return set(preference.c, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return set(preference.d, value, bytes);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t asked, int room,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  const auto& preference = made_of<Preference>(asked);
  const auto &left = made_of<Layout>(a), &right = made_of<Layout>(b), &in = made_of<Layout>(c),
             &out = made_of<Layout>(d);
  if (!fits(made_of<Operation>(operation), left, right, in, out)) return CUBLAS_STATUS_INVALID_VALUE;
  const bool aligned = divides(preference.a, left) && divides(preference.b, right) && divides(preference.c, in) &&
                       divides(preference.d, out);
  if (!aligned) {
    stand_in_broken("cuBLASLt is promised an alignment that a matrix does not have");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if ((preference.schemes & CUBLASLT_REDUCTION_SCHEME_INPLACE) != 0) {
    stand_in_broken("cuBLASLt may sum in place, in any order");
  }
  *count = 0;
  for (std::uint64_t algorithm = 0; algorithm < kAlgorithms && *count < room; ++algorithm) {
    results[*count] = {};
    results[*count].algo.data[0] = algorithm;
    results[*count].workspaceSize = kWorkspace;
    results[*count].state = preference.workspace >= kWorkspace ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
    *count += 1;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  if (algorithm->data[0] >= kAlgorithms) return CUBLAS_STATUS_INVALID_VALUE;
  if (!fits(made_of<Operation>(operation), made_of<Layout>(a), made_of<Layout>(b), made_of<Layout>(c),
            made_of<Layout>(d))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  result->workspaceSize = kWorkspace;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  if (algorithm->data[0] == kRefuses) return CUBLAS_STATUS_NOT_SUPPORTED;
  const Call call{made_of<Operation>(operation),
                  made_of<Layout>(a_layout),
                  made_of<Layout>(b_layout),
                  made_of<Layout>(c_layout),
                  made_of<Layout>(d_layout),
                  a,
                  b,
                  c,
                  d,
                  *static_cast<const float*>(alpha),
                  *static_cast<const float*>(beta)};
  const Operation& o = call.operation;
  const bool there =
      stand_in_on_device(a, call.a.bytes()) && stand_in_on_device(b, call.b.bytes()) &&
      stand_in_on_device(c, call.c.bytes()) && stand_in_on_device(d, call.d.bytes()) &&
      stand_in_on_device(workspace, workspace_bytes) && workspace_bytes >= kWorkspace &&
      (!o.has_bias() || stand_in_on_device(o.bias, static_cast<std::uint64_t>(call.d.rows) * call.a.element_bytes())) &&
      (!o.has_aux() || stand_in_on_device(o.aux, call.d.bytes()));
  const auto aligned = [](const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; };
  if (!there || (o.has_bias() && !aligned(o.bias)) || (o.has_aux() && !aligned(o.aux)) ||
      !fits(o, call.a, call.b, call.c, call.d)) {
    stand_in_broken("cublasLtMatmul with memory, a workspace or an epilogue that does not fit");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  stand_in_enqueue(stream, Call::run_all, new Call(call));  // a graph may run it again: never deleted
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
