// Matrix products by cuBLASLt, which is opened at run time.
//
// A product's algorithm is chosen when it runs for the first time (never inside a capture): the candidates of the
// library's heuristics are measured on the operands themselves, and the choice is kept (product_choices.h). Candidates
// that add partial results in place, in the order in which they happen to arrive, are left out, and those that keep
// them in bf16.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/device.h"

namespace isoloss {

class CublasLt {
 public:
  /// `machine`: what choices depend on besides the product, such as the GPU's name. Throws CudaFailure where the
  /// library is not there.
  explicit CublasLt(const std::string& machine);
  ~CublasLt();

  std::string version() const;
  /// Whether the library has an algorithm for the call, its epilogue included.
  bool offers(const Matmul& call);
  void run(const Matmul& call, void* stream);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace isoloss
