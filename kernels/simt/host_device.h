// A stand-in for a GPU: memory is the heap, streams run what they are given at once, kernels run on the executor, and
// matrix products are plain loops. Capturing records what was given instead.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernels/cuda/device.h"

namespace simt {

struct HostStream {
  bool capturing = false;
  std::vector<std::function<void()>> recorded;

  /// Runs `work`, or records it.
  void give(std::function<void()> work);
};

class HostDevice : public isoloss::CudaDevice {
 public:
  ~HostDevice() override;

  std::string name() const override { return "host executor"; }
  isoloss::CudaProperties properties() const override { return {name(), "none", "none", "none", l2_bytes}; }
  std::size_t free_memory() const override { return memory_limit - allocated_; }
  std::size_t total_memory() const override { return memory_limit; }

  void* allocate(std::size_t bytes) override;
  void release(void* memory) override;
  void* allocate_pinned(std::size_t bytes) override;
  void release_pinned(void* memory) override;

  Stream create_stream() override;
  void destroy_stream(Stream stream) override;
  void synchronize(Stream) override {}
  void copy(void* to, const void* from, std::size_t bytes, Stream stream) override;
  void fill(void* to, std::uint8_t byte, std::size_t bytes, Stream stream) override;

  Event create_event(bool timing) override;
  void destroy_event(Event event) override;
  void record(Event event, Stream stream) override;
  void wait(Stream, Event) override {}
  void synchronize_event(Event) override {}
  double milliseconds(Event from, Event to) override;

  CapturedGraph capture(Stream stream, const std::function<void()>& work) override;
  void replay(CapturedGraph graph, Stream stream) override;
  void destroy_graph(CapturedGraph graph) override;

  bool offers(const isoloss::Matmul&) override { return epilogues; }
  void matmul(const isoloss::Matmul& call, Stream stream) override;

  std::shared_ptr<void>& attachment(const void* key) override { return attachments_[key]; }

  void push_range(const char*) override {}
  void pop_range() override {}

  // For tests.
  bool epilogues = true;  ///< false: callers use their own kernels instead
  std::size_t memory_limit = std::size_t{4} << 30;
  std::size_t l2_bytes = 4096;                 ///< as small as the shapes that tests can afford
  int allocations = 0, launches_replayed = 0;  ///< so far

 private:
  std::size_t allocated_ = 0;
  std::map<void*, std::size_t> sizes_;
  std::map<const void*, std::shared_ptr<void>> attachments_;
};

/// to += factor · row, `count` elements each; in tensor_core.cpp.
void add_multiple(float factor, const float* row, std::int64_t count, float* to);

}  // namespace simt
