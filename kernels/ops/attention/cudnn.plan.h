// A graph handed over to cuDNN: descriptors made of plain data, an engine chosen, a plan that runs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernels/ops/attention/cudnn.library.h"
#include "kernels/ops/attention/cudnn_graph.h"

namespace isoloss {

/// Owns cuDNN's handle of the current device.
class CudnnHandle {
 public:
  explicit CudnnHandle(const CudnnLibrary& library) : library_(library) {
    library.check(library.Create(&handle_), "a handle");
  }
  ~CudnnHandle() { library_.Destroy(handle_); }
  CudnnHandle(const CudnnHandle&) = delete;
  CudnnHandle& operator=(const CudnnHandle&) = delete;
  cudnnHandle_t get() const { return handle_; }

 private:
  const CudnnLibrary& library_;
  cudnnHandle_t handle_ = nullptr;
};

/// Everything of one graph that cuDNN keeps, from the tensors to the plan.
class CudnnPlan {
 public:
  /// For the handle's device. Takes the first engine of cuDNN's heuristics that gives the same bits every time, a
  /// choice that follows from graph, GPU and version alone. Throws CudaFailure where there is none.
  CudnnPlan(const CudnnLibrary& library, CudnnGraph graph, cudnnHandle_t handle);

  std::size_t workspace() const { return workspace_; }

  /// Puts the graph's work on the handle's stream.
  void run(cudnnHandle_t handle, const CudnnMemory& memory, void* workspace);

 private:
  const CudnnLibrary& library_;
  CudnnGraph graph_;
  std::vector<CudnnDescriptor> descriptors_;
  std::size_t workspace_ = 0;
};

/// What cuDNN answers about a graph for a GPU that need not be there.
struct CudnnEngineReport {
  std::int64_t engine = 0;
  bool same_bits = false;      ///< without cuDNN's note that results may differ from run to run
  std::int64_t workspace = 0;  ///< bytes
};
struct CudnnReport {
  std::vector<CudnnEngineReport> engines;  ///< that take the graph, in the order in which they would be tried
  std::string plan;                        ///< "" where the first engine's plan was built, else why not
};

/// For the GPU described by `device`, cuDNN's JSON representation of device properties. Throws CudaFailure where cuDNN
/// refuses the graph.
CudnnReport cudnn_report(const CudnnLibrary& library, const CudnnGraph& graph, const std::string& device);

}  // namespace isoloss
