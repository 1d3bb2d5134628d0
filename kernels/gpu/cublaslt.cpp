#include "kernels/gpu/cublaslt.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/core/op.h"
#include "kernels/gpu/library.h"
#include "kernels/gpu/product_choices.h"

namespace isoloss {

namespace {

#define ISOLOSS_STRING_OF(text) #text
#define ISOLOSS_STRING(macro) ISOLOSS_STRING_OF(macro)
// clang-format off
#define ISOLOSS_CUBLASLT_FUNCTIONS(X) \
  X(Create) X(Destroy) X(GetVersion) X(GetStatusString) X(Matmul) X(MatmulAlgoCheck) X(MatmulAlgoGetHeuristic) \
  X(MatmulDescCreate) X(MatmulDescDestroy) X(MatmulDescSetAttribute) \
  X(MatmulPreferenceCreate) X(MatmulPreferenceDestroy) X(MatmulPreferenceSetAttribute) \
  X(MatrixLayoutCreate) X(MatrixLayoutDestroy) X(MatrixLayoutSetAttribute)
// clang-format on

/// The functions used of the library.
struct Functions {
  // The version of the headers, since other versions may number their constants otherwise.
  DynamicLibrary library{"libcublasLt.so." ISOLOSS_STRING(CUBLAS_VER_MAJOR)};
#define ISOLOSS_FUNCTION(name) decltype(::cublasLt##name)* name = nullptr;
  ISOLOSS_CUBLASLT_FUNCTIONS(ISOLOSS_FUNCTION)
#undef ISOLOSS_FUNCTION

  Functions() {
#define ISOLOSS_FUNCTION(name) library.load(name, "cublasLt" #name);
    ISOLOSS_CUBLASLT_FUNCTIONS(ISOLOSS_FUNCTION)
#undef ISOLOSS_FUNCTION
  }
};

constexpr int kCandidates = 8, kTrials = 5;

void check_runtime(cudaError_t status) {
  if (status != cudaSuccess) throw CudaFailure(cudaGetErrorString(status));
}

cudaDataType type_of(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

/// Bytes that the matrices of an operand with `rows` rows of `columns` in memory span.
std::size_t span_bytes(const Matmul::Operand& operand, std::int64_t rows, std::int64_t columns, std::int64_t batch,
                       DType dtype) {
  return static_cast<std::size_t>((batch - 1) * operand.item + (rows - 1) * operand.row + columns) * bytes_of(dtype);
}

/// The largest power of two up to 256 bytes that divides the address of every row of every matrix.
std::uint32_t alignment_of(const Matmul::Operand& operand, DType dtype) {
  const auto bits = reinterpret_cast<std::uintptr_t>(operand.data) |
                    static_cast<std::uintptr_t>(operand.row) * bytes_of(dtype) |
                    static_cast<std::uintptr_t>(operand.item) * bytes_of(dtype) | 256;
  return 1u << std::countr_zero(bits);
}

/// Whether the library may be asked for the call's epilogue. No preference tells the heuristics how a bias is aligned,
/// and some kernels that they propose read it 16 bytes at a time (pytorch/pytorch#194497); rows of aux must be a
/// multiple of 8 elements long (CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD in cublasLt.h). How exact its tanh is, nobody
/// says: PTX's tanh.approx errs by up to 2^-11, which is less than bf16 rounds by, and no float32.
bool epilogue_fits(const Matmul& call) {
  constexpr std::uintptr_t kBytes = 16;
  constexpr std::int64_t kRow = 8;
  const auto aligned = [](const void* data) { return reinterpret_cast<std::uintptr_t>(data) % kBytes == 0; };
  const bool rows = call.c.row % kRow == 0 && (call.batch == 1 || call.c.item % kRow == 0);
  return aligned(call.bias) && aligned(call.aux) && (call.aux == nullptr || rows) &&
         (call.epilogue != Epilogue::gelu_tanh || call.result == DType::bf16);
}

std::string text_of(const Matmul::Operand& operand, DType dtype) {
  return fmt::format("{}{}+{}@{}", operand.transposed ? "T" : "N", operand.row, operand.item,
                     alignment_of(operand, dtype));
}

/// Everything that a choice depends on.
std::string key_of(const Matmul& call) {
  return fmt::format("m{} n{} k{} x{} {}->{}{} a={} b={} c={} {}epilogue {}{}{}", call.m, call.n, call.k, call.batch,
                     name_of(call.operands), name_of(call.result), call.tf32 ? " tf32" : "",
                     text_of(call.a, call.operands), text_of(call.b, call.operands), text_of(call.c, call.result),
                     call.beta != 0 ? "adds " : "", static_cast<int>(call.epilogue),
                     call.bias != nullptr ? " bias" : "", call.aux != nullptr ? " aux" : "");
}

std::string hex(const cublasLtMatmulAlgo_t& algorithm) {
  std::string text;
  for (const std::uint64_t word : algorithm.data) text += fmt::format("{:016x}", word);
  return text;
}

std::optional<cublasLtMatmulAlgo_t> algorithm_from(const std::string& text) {
  cublasLtMatmulAlgo_t algorithm{};
  constexpr std::size_t kDigits = 16, kWords = std::size(cublasLtMatmulAlgo_t{}.data);
  if (text.size() != kDigits * kWords || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < kWords; ++i) {
    algorithm.data[i] = std::stoull(text.substr(i * kDigits, kDigits), nullptr, 16);
  }
  return algorithm;
}

/// Device memory of one function call.
class TemporaryMemory {
 public:
  explicit TemporaryMemory(std::size_t bytes) { check_runtime(cudaMalloc(&data_, bytes)); }
  ~TemporaryMemory() { cudaFree(data_); }
  TemporaryMemory(const TemporaryMemory&) = delete;
  TemporaryMemory& operator=(const TemporaryMemory&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

class TimingEvent {
 public:
  TimingEvent() { check_runtime(cudaEventCreate(&event_)); }
  ~TimingEvent() { cudaEventDestroy(event_); }
  TimingEvent(const TimingEvent&) = delete;
  TimingEvent& operator=(const TimingEvent&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

// cuBLASLt's matrices are column-major: ours of C [m,n] is its of Cᵀ [n,m], and Cᵀ = Bᵀ · Aᵀ. So its A is our B, and a
// bias along our columns is one along its rows, as it wants it.
struct CublasLt::Implementation {
  struct Plan {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t left = nullptr, right = nullptr, result = nullptr;
    std::vector<cublasLtMatmulAlgo_t> candidates;  ///< of the heuristics, the most promising first
    std::optional<cublasLtMatmulAlgo_t> chosen;
  };

  explicit Implementation(const std::string& machine) : choices(cache_folder() / "products.txt") {
    check(lt.Create(&handle), "cublasLtCreate");
    prefix = fmt::format("{}, cuBLASLt {}: ", machine, lt.GetVersion());
    check_runtime(cudaMalloc(&workspace, kMatmulWorkspace));
  }
  ~Implementation() {
    for (auto& [key, plan] : plans) destroy(plan);
    cudaFree(workspace);
    lt.Destroy(handle);
  }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  void check(cublasStatus_t status, const char* what) const {
    if (status != CUBLAS_STATUS_SUCCESS) throw CudaFailure(fmt::format("{}: {}", what, lt.GetStatusString(status)));
  }

  template <class Value>
  void set(Plan& plan, cublasLtMatmulDescAttributes_t attribute, Value value) const {
    check(lt.MatmulDescSetAttribute(plan.operation, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }
  template <class Value>
  void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, Value value) const {
    check(lt.MatrixLayoutSetAttribute(layout, attribute, &value, sizeof value), "cublasLtMatrixLayoutSetAttribute");
  }
  template <class Value>
  void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, Value value) const {
    check(lt.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  }

  cublasLtMatrixLayout_t layout(const Matmul::Operand& operand, std::int64_t rows, std::int64_t columns, DType dtype,
                                std::int64_t batch) const {
    if (operand.transposed) std::swap(rows, columns);
    cublasLtMatrixLayout_t made = nullptr;
    check(lt.MatrixLayoutCreate(&made, type_of(dtype), static_cast<std::uint64_t>(columns),
                                static_cast<std::uint64_t>(rows), operand.row),
          "cublasLtMatrixLayoutCreate");
    if (batch > 1) {
      set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
      set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, operand.item);
    }
    return made;
  }

  static cublasLtEpilogue_t epilogue_of(const Matmul& call) {
    switch (call.epilogue) {
      case Epilogue::none:
        break;
      case Epilogue::bias:
        return CUBLASLT_EPILOGUE_BIAS;
      case Epilogue::gelu_tanh:
        if (call.aux == nullptr) return call.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
        return call.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    }
    return CUBLASLT_EPILOGUE_DEFAULT;
  }

  /// The pointers of an epilogue: all that differs between two calls with the same key, but for the operands.
  void point(Plan& plan, const Matmul& call) const {
    if (call.bias != nullptr) set(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, call.bias);
    if (call.aux != nullptr) set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, call.aux);
  }

  void describe(Plan& plan, const Matmul& call) const {
    const cublasComputeType_t compute =
        call.tf32 && call.operands == DType::f32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    check(lt.MatmulDescCreate(&plan.operation, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
    set(plan, CUBLASLT_MATMUL_DESC_TRANSA, call.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(plan, CUBLASLT_MATMUL_DESC_TRANSB, call.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(call));
    if (call.bias != nullptr) set(plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(call.operands));
    if (call.aux != nullptr) {
      set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, call.c.row);
      if (call.batch > 1) set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, call.c.item);
    }
    point(plan, call);
    plan.left = layout(call.b, call.k, call.n, call.operands, call.batch);
    plan.right = layout(call.a, call.m, call.k, call.operands, call.batch);
    plan.result = layout(call.c, call.m, call.n, call.result, call.batch);
  }

  void find_candidates(Plan& plan, const Matmul& call) const {
    cublasLtMatmulPreference_t preference = nullptr;
    check(lt.MatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMatmulWorkspace);
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(call.b, call.operands));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(call.a, call.operands));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(call.c, call.result));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(call.c, call.result));
    cublasLtMatmulHeuristicResult_t results[kCandidates] = {};
    int count = 0;
    const cublasStatus_t status = lt.MatmulAlgoGetHeuristic(handle, plan.operation, plan.left, plan.right, plan.result,
                                                            plan.result, preference, kCandidates, results, &count);
    lt.MatmulPreferenceDestroy(preference);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return;  // no algorithm: offers() says so
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    for (int i = 0; i < count; ++i) {
      if (results[i].state == CUBLAS_STATUS_SUCCESS) plan.candidates.push_back(results[i].algo);
    }
  }

  void destroy(Plan& plan) const {
    for (const cublasLtMatrixLayout_t matrix : {plan.left, plan.right, plan.result}) {
      if (matrix != nullptr) lt.MatrixLayoutDestroy(matrix);
    }
    if (plan.operation != nullptr) lt.MatmulDescDestroy(plan.operation);
  }

  Plan& plan_of(const Matmul& call) {
    const std::string key = key_of(call);
    if (const auto found = plans.find(key); found != plans.end()) return found->second;
    Plan plan;
    try {
      describe(plan, call);
      find_candidates(plan, call);
      const auto kept = choices.find(prefix + key);
      if (const auto algorithm = kept ? algorithm_from(*kept) : std::nullopt) {
        cublasLtMatmulHeuristicResult_t fits{};
        const cublasStatus_t status = lt.MatmulAlgoCheck(handle, plan.operation, plan.left, plan.right, plan.result,
                                                         plan.result, &*algorithm, &fits);
        if (status == CUBLAS_STATUS_SUCCESS && fits.workspaceSize <= kMatmulWorkspace) plan.chosen = algorithm;
      }
    } catch (...) {
      destroy(plan);
      throw;
    }
    return plans.emplace(key, std::move(plan)).first->second;
  }

  cublasStatus_t multiply(const Plan& plan, const Matmul& call, const cublasLtMatmulAlgo_t& algorithm,
                          cudaStream_t stream) const {
    return lt.Matmul(handle, plan.operation, &call.alpha, call.b.data, plan.left, call.a.data, plan.right, &call.beta,
                     call.c.data, plan.result, call.c.data, plan.result, &algorithm, workspace, kMatmulWorkspace,
                     stream);
  }

  /// Milliseconds of one run; infinite where the algorithm refuses.
  float time_of(const Plan& plan, const Matmul& call, const cublasLtMatmulAlgo_t& algorithm, const TimingEvent& begin,
                const TimingEvent& end, cudaStream_t stream) const {
    check_runtime(cudaEventRecord(begin.get(), stream));
    if (multiply(plan, call, algorithm, stream) != CUBLAS_STATUS_SUCCESS) return HUGE_VALF;
    check_runtime(cudaEventRecord(end.get(), stream));
    check_runtime(cudaEventSynchronize(end.get()));
    float elapsed = 0;
    check_runtime(cudaEventElapsedTime(&elapsed, begin.get(), end.get()));
    return elapsed;
  }

  /// The algorithm for a product that runs for the first time on this machine: that with the shortest of a few runs.
  cublasLtMatmulAlgo_t measured(const Plan& plan, const Matmul& call, cudaStream_t stream) const {
    // Measuring writes the result many times over; what a product adds to is put back.
    std::optional<TemporaryMemory> saved;
    const std::size_t bytes = span_bytes(call.c, call.m, call.n, call.batch, call.result);
    if (call.beta != 0) {
      saved.emplace(bytes);
      check_runtime(cudaMemcpyAsync(saved->data(), call.c.data, bytes, cudaMemcpyDeviceToDevice, stream));
    }
    // In turns, since the clocks of a GPU that was idle rise meanwhile. The first turn loads code and does not count.
    const TimingEvent begin, end;
    std::vector<float> shortest(plan.candidates.size(), HUGE_VALF);
    for (int trial = 0; trial <= kTrials; ++trial) {
      for (std::size_t i = 0; i < plan.candidates.size(); ++i) {
        const float time = time_of(plan, call, plan.candidates[i], begin, end, stream);
        if (trial > 0) shortest[i] = std::min(shortest[i], time);
      }
    }
    if (saved) {
      check_runtime(cudaMemcpyAsync(call.c.data, saved->data(), bytes, cudaMemcpyDeviceToDevice, stream));
      check_runtime(cudaStreamSynchronize(stream));
    }
    const auto best = std::min_element(shortest.begin(), shortest.end());
    return plan.candidates[static_cast<std::size_t>(best - shortest.begin())];
  }

  const cublasLtMatmulAlgo_t& algorithm_for(Plan& plan, const Matmul& call, cudaStream_t stream) {
    if (plan.chosen) return *plan.chosen;
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    check_runtime(cudaStreamIsCapturing(stream, &capturing));
    if (capturing != cudaStreamCaptureStatusNone) return plan.candidates.front();
    const cublasLtMatmulAlgo_t fastest = measured(plan, call, stream);
    const auto kept = choices.keep(prefix + key_of(call), hex(fastest));
    const auto algorithm = kept ? algorithm_from(*kept) : std::nullopt;
    // Where choices cannot be kept, the library's own first choice is the one that every run makes again.
    plan.chosen = algorithm ? *algorithm : plan.candidates.front();
    return *plan.chosen;
  }

  Functions lt;
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::string prefix;
  ProductChoices choices;
  std::map<std::string, Plan> plans;
};

CublasLt::CublasLt(const std::string& machine) : implementation_(std::make_unique<Implementation>(machine)) {}
CublasLt::~CublasLt() = default;

std::string CublasLt::version() const {
  const std::size_t version = implementation_->lt.GetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

bool CublasLt::offers(const Matmul& call) {
  return epilogue_fits(call) && !implementation_->plan_of(call).candidates.empty();
}

void CublasLt::run(const Matmul& call, void* stream) {
  Implementation& lt = *implementation_;
  Implementation::Plan& plan = lt.plan_of(call);
  if (plan.candidates.empty()) throw CudaFailure("cuBLASLt has no algorithm for " + key_of(call));
  lt.point(plan, call);
  const auto on = static_cast<cudaStream_t>(stream);
  lt.check(lt.multiply(plan, call, lt.algorithm_for(plan, call, on), on), "cublasLtMatmul");
}

}  // namespace isoloss
