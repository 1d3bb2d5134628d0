// The launchers of linear and classifier as nvcc compiles them, without a GPU: launches do nothing, and each matrix
// product that a launcher asks for must lie within memory. Elsewhere g++ compiles these launchers (kernels/simt), and
// nvcc's front end is another compiler: 13.0 set the wrong member of a Matmul::Operand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/cuda/device.h"
#include "tests/harness/op_case.h"
#include "tests/harness/op_launch.h"

namespace isoloss::test {
namespace {

/// Memory of the host, and products that are looked at instead of computed.
class ProductWatcher : public CudaDevice {
 public:
  int products = 0;

  void matmul(const Matmul& call, Stream) override {
    products += 1;
    CHECK(std::min({call.m, call.n, call.k, call.batch}) > 0);
    watch("a", call.a, call.m, call.k, call.batch, call.operands);
    watch("b", call.b, call.k, call.n, call.batch, call.operands);
    watch("c", call.c, call.m, call.n, call.batch, call.result);
    CHECK_FALSE(call.c.transposed);
  }
  bool offers(const Matmul&) override { return false; }

  void* allocate(std::size_t bytes) override {
    void* const memory = std::calloc(bytes, 1);
    sizes_[static_cast<std::byte*>(memory)] = bytes;
    return memory;
  }
  void release(void* memory) override {
    sizes_.erase(static_cast<std::byte*>(memory));
    std::free(memory);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream) override { std::memcpy(to, from, bytes); }
  void fill(void* to, std::uint8_t byte, std::size_t bytes, Stream) override { std::memset(to, byte, bytes); }

  // What launchers do not call.
  std::string name() const override { return "product watcher"; }
  CudaProperties properties() const override { return {}; }
  std::size_t free_memory() const override { return 0; }
  std::size_t total_memory() const override { return 0; }
  void* allocate_pinned(std::size_t bytes) override { return allocate(bytes); }
  void release_pinned(void* memory) override { release(memory); }
  Stream create_stream() override { return nullptr; }
  void destroy_stream(Stream) override {}
  void synchronize(Stream) override {}
  Event create_event(bool) override { return nullptr; }
  void destroy_event(Event) override {}
  void record(Event, Stream) override {}
  void wait(Stream, Event) override {}
  void synchronize_event(Event) override {}
  double milliseconds(Event, Event) override { return 0; }
  CapturedGraph capture(Stream, const std::function<void()>&) override { return nullptr; }
  void replay(CapturedGraph, Stream) override {}
  void destroy_graph(CapturedGraph) override {}
  std::shared_ptr<void>& attachment(const void*) override { return attachment_; }
  void push_range(const char*) override {}
  void pop_range() override {}

 private:
  /// `rows` and `columns` of the matrix as the product sees it.
  void watch(const char* which, const Matmul::Operand& operand, std::int64_t rows, std::int64_t columns,
             std::int64_t batch, DType dtype) const {
    INFO("operand ", which, " of product ", products);
    if (operand.transposed) std::swap(rows, columns);
    CHECK(columns <= operand.row);
    if (batch == 1) CHECK_MESSAGE(operand.item == 0, "a single matrix has no next one");
    const std::int64_t elements = (batch - 1) * operand.item + (rows - 1) * operand.row + columns;
    const auto* const begin = static_cast<const std::byte*>(operand.data);
    auto piece = sizes_.upper_bound(const_cast<std::byte*>(begin));
    REQUIRE(piece != sizes_.begin());
    --piece;
    CHECK(begin + elements * static_cast<std::int64_t>(bytes_of(dtype)) <= piece->first + piece->second);
  }

  std::map<std::byte*, std::size_t> sizes_;
  std::shared_ptr<void> attachment_;
};

class WatchedRunner : public CudaRunner {
 public:
  ProductWatcher watcher;
  CudaContext& context(const StepState& state, int) override {
    context_ = {.stream = nullptr, .device = &watcher, .state = &state, .tf32 = false};
    return context_;
  }

 private:
  CudaContext context_;
};
WatchedRunner& runner() {
  static WatchedRunner instance;
  return instance;
}

/// Launches `op` of the case in both types; it must ask for `products` of them each time.
void check_products(const OpCase& test, const char* name, int products) {
  const OpDef& op = find_op(name);
  const std::vector<Operand> inputs = operands_of(test, op);
  for (const DType real : {DType::f32, DType::bf16}) {
    CAPTURE(name);
    CAPTURE(static_cast<int>(real));
    runner().watcher.products = 0;
    LaunchRequest request;
    request.device = DeviceKind::cuda;
    request.real = real;
    launch_op(op, test.attributes, test.state, inputs, request);
    CHECK(runner().watcher.products == products);
  }
}

}  // namespace

CudaRunner& cuda_runner() { return runner(); }

TEST_CASE("launchers as nvcc compiles them: products lie within their operands") {
  for (const double transposed : {0.0, 1.0}) {
    CAPTURE(transposed);
    OpCase linear{.name = "linear",
                  .op = "linear",
                  .attributes = {{"transposed", transposed}, {"activation", 0}},
                  .inputs = {{"x", f32({2, 5, 24})}, {"w", transposed == 1 ? f32({40, 24}) : f32({24, 40})}}};
    check_products(linear, "linear", 1);
    linear.inputs.push_back({"dy", f32({2, 5, 40})});
    check_products(linear, "linear_backward", 2);
  }
  OpCase classifier{
      .name = "classifier",
      .op = "classifier",
      .attributes = {{"vocab", 17}, {"scale", 1}},
      .inputs = {{"x", f32({2, 150, 8})}, {"w", f32({24, 8})}, {"targets", i32({2, 150}), Fill::integers(0, 17)}}};
  check_products(classifier, "classifier", 1);
  check_products(classifier, "classifier_gradient", 3);
  classifier.attributes.set("logits_bytes", 1);  // three chunks of rows
  check_products(classifier, "classifier_gradient", 9);
}

}  // namespace isoloss::test
