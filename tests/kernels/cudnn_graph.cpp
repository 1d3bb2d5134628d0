// The graphs given to cuDNN, without cuDNN: their tensors against numbers worked out by hand, and their mathematics
// against the specification, by an interpreter in double.
#include "kernels/ops/attention/cudnn_graph.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {

using Quad = std::array<std::int64_t, 4>;

struct Sizes {
  std::int64_t B, T;
  int heads, kv_heads;
  std::int64_t D;
  int window = 0;
};

Attributes attributes_of(const Sizes& sizes) {
  return {{"heads", sizes.heads}, {"kv_heads", sizes.kv_heads}, {"window", sizes.window}, {"p", 0}, {"node", 0}};
}

AttentionDims dims_of(const Sizes& sizes) {
  return {attributes_of(sizes), Shape{sizes.B, sizes.T, (sizes.heads + 2 * sizes.kv_heads) * sizes.D}};
}

/// The tensors of a graph that lie in `source`, in order.
std::vector<CudnnTensor> of(const CudnnGraph& graph, CudnnSource source) {
  std::vector<CudnnTensor> found;
  for (const CudnnTensor& tensor : graph.tensors) {
    if (tensor.source == source) found.push_back(tensor);
  }
  return found;
}

void check_tensor(const CudnnTensor& tensor, CudnnType type, const Quad& size, const Quad& stride,
                  std::int64_t offset) {
  CHECK(tensor.type == type);
  CHECK(tensor.size == size);
  CHECK(tensor.stride == stride);
  CHECK(tensor.offset == offset);
}

int count(const CudnnGraph& graph, CudnnKind kind) {
  return static_cast<int>(std::ranges::count_if(graph.operations, [&](const auto& op) { return op.kind == kind; }));
}

/// A tensor's elements without gaps.
using Elements = std::vector<double>;

/// Calls body(index) for every index of a tensor of this size, in order.
void for_each(const Quad& size, const std::function<void(const Quad&)>& body) {
  Quad at{};
  for (at[0] = 0; at[0] < size[0]; ++at[0])
    for (at[1] = 0; at[1] < size[1]; ++at[1])
      for (at[2] = 0; at[2] < size[2]; ++at[2])
        for (at[3] = 0; at[3] < size[3]; ++at[3]) body(at);
}

std::size_t place(const Quad& at, const Quad& size) {
  return static_cast<std::size_t>(((at[0] * size[1] + at[1]) * size[2] + at[2]) * size[3] + at[3]);
}

/// The index in a tensor of `from` that goes with `at` in one of `to`: several indices share one where it is smaller.
Quad shared(const Quad& at, const Quad& to, const Quad& from) {
  Quad index{};
  for (std::size_t i = 0; i < 4; ++i) index[i] = at[i] * from[i] / to[i];
  return index;
}

/// Runs a graph in double on tensors in memory, as cuDNN's documentation says what each operation does.
class Interpreter {
 public:
  Interpreter(const CudnnGraph& graph, std::map<CudnnSource, Elements>& memory) : graph_(graph), memory_(memory) {
    values_.resize(graph.tensors.size());
    std::set<std::size_t> written;
    for (const CudnnOperation& operation : graph.operations) {
      for (const std::size_t in : operation.in) {
        if (!written.contains(in)) values_[in] = load(graph.tensors[in]);
      }
      run(operation);
      CHECK(written.insert(operation.out).second);
      store(graph.tensors[operation.out], values_[operation.out]);
    }
  }

 private:
  Elements load(const CudnnTensor& tensor) const {
    REQUIRE(tensor.source != CudnnSource::inner);
    Elements all;
    for_each(tensor.size, [&](const Quad& at) {
      all.push_back(tensor.source == CudnnSource::constant
                        ? static_cast<double>(tensor.value)
                        : memory_.at(tensor.source).at(static_cast<std::size_t>(address(tensor, at))));
    });
    return all;
  }
  void store(const CudnnTensor& tensor, const Elements& all) {
    if (tensor.source == CudnnSource::inner) return;
    std::size_t i = 0;
    for_each(tensor.size, [&](const Quad& at) {
      memory_.at(tensor.source).at(static_cast<std::size_t>(address(tensor, at))) = all[i++];
    });
  }
  static std::int64_t address(const CudnnTensor& tensor, const Quad& at) {
    std::int64_t sum = tensor.offset;
    for (std::size_t i = 0; i < 4; ++i) sum += at[i] * tensor.stride[i];
    return sum;
  }

  void run(const CudnnOperation& operation) {
    const Quad& size = graph_.tensors[operation.out].size;
    Elements out(static_cast<std::size_t>(size[0] * size[1] * size[2] * size[3]), 0.0);
    const auto in = [&](std::size_t i, const Quad& at) {
      const Quad& from = graph_.tensors[operation.in[i]].size;
      return values_[operation.in[i]][place(shared(at, size, from), from)];
    };
    const Quad& first = graph_.tensors[operation.in[0]].size;
    switch (operation.kind) {
      case CudnnKind::product:
        for_each(size, [&](const Quad& at) {
          const Quad& second = graph_.tensors[operation.in[1]].size;
          REQUIRE(first[3] == second[2]);
          Quad a = shared(at, size, first), b = shared(at, size, second);
          a[2] = at[2], b[3] = at[3];
          for (std::int64_t k = 0; k < first[3]; ++k) {
            a[3] = b[2] = k;
            out[place(at, size)] +=
                values_[operation.in[0]][place(a, first)] * values_[operation.in[1]][place(b, second)];
          }
        });
        break;
      case CudnnKind::largest:
        std::ranges::fill(out, -INFINITY);
        for_each(first, [&](const Quad& at) {
          double& most = out[place(shared(at, first, size), size)];
          most = std::max(most, values_[operation.in[0]][place(at, first)]);
        });
        break;
      case CudnnKind::sum:
        for_each(first, [&](const Quad& at) {
          out[place(shared(at, first, size), size)] += values_[operation.in[0]][place(at, first)];
        });
        break;
      case CudnnKind::reshape: {
        // The same addresses: an element goes where its strides lead.
        std::map<std::int64_t, double> by_address;
        const CudnnTensor &from = graph_.tensors[operation.in[0]], &to = graph_.tensors[operation.out];
        for_each(first, [&](const Quad& at) {
          by_address[address(from, at) - from.offset] = values_[operation.in[0]][place(at, first)];
        });
        for_each(size, [&](const Quad& at) { out[place(at, size)] = by_address.at(address(to, at) - to.offset); });
        break;
      }
      case CudnnKind::index:
        for_each(size, [&](const Quad& at) {
          out[place(at, size)] = static_cast<double>(at.at(static_cast<std::size_t>(operation.axis)));
        });
        break;
      default:
        for_each(size, [&](const Quad& at) {
          const double a = in(0, at);
          out[place(at, size)] = pointwise(operation.kind, a, operation.in.size() > 1 ? in(1, at) : 0,
                                           operation.in.size() > 2 ? in(2, at) : 0);
        });
    }
    values_[operation.out] = std::move(out);
  }

  static double pointwise(CudnnKind kind, double a, double b, double c) {
    switch (kind) {
      case CudnnKind::add:
        return a + b;
      case CudnnKind::subtract:
        return a - b;
      case CudnnKind::multiply:
        return a * b;
      case CudnnKind::divide:
        return a / b;
      case CudnnKind::exponential:
        return std::exp(a);
      case CudnnKind::logarithm:
        return std::log(a);
      case CudnnKind::greater_or_equal:
        return a >= b ? 1 : 0;
      case CudnnKind::greater:
        return a > b ? 1 : 0;
      case CudnnKind::select:
        return c != 0 ? a : b;
      default:
        return NAN;
    }
  }

  const CudnnGraph& graph_;
  std::map<CudnnSource, Elements>& memory_;
  std::vector<Elements> values_;
};

void check_close(const Elements& got, const Values& wanted) {
  REQUIRE(got.size() == wanted.size());
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - wanted[i]);
    if (!(error <= worst)) worst = error;
  }
  // The scale is passed as a float32, which is off by 2^-25 relative; scores are of size 1.
  CHECK(worst < 1e-6);
}

LaunchResult reference(const char* op, const Sizes& sizes, const std::vector<Operand>& inputs) {
  LaunchRequest request{.device = DeviceKind::ref, .real = DType::f64, .modes = {}, .in_place = {}, .previous = {}};
  request.in_place.assign(find_op(op).outputs.size(), false);
  return launch_op(find_op(op), attributes_of(sizes), {}, inputs, request);
}

}  // namespace

TEST_CASE("cudnn graph: multi-head tensors reach into packed tokens") {
  // Tokens of (3 + 2·3)·8 = 72 elements: queries at 0, keys at 24, values at 48; y has tokens of 24.
  const AttentionDims dims = dims_of({2, 5, 3, 3, 8});
  const CudnnGraph forward = cudnn_forward(dims);
  const auto qkv = of(forward, CudnnSource::qkv);
  REQUIRE(qkv.size() == 3);
  check_tensor(qkv[0], CudnnType::bf16, {2, 3, 5, 8}, {360, 8, 72, 1}, 0);
  check_tensor(qkv[1], CudnnType::bf16, {2, 3, 8, 5}, {360, 8, 1, 72}, 24);  // keys, transposed
  check_tensor(qkv[2], CudnnType::bf16, {2, 3, 5, 8}, {360, 8, 72, 1}, 48);
  check_tensor(of(forward, CudnnSource::y).at(0), CudnnType::bf16, {2, 3, 5, 8}, {120, 8, 24, 1}, 0);
  check_tensor(of(forward, CudnnSource::lse).at(0), CudnnType::f32, {2, 3, 5, 1}, {15, 5, 1, 1}, 0);
  const auto constants = of(forward, CudnnSource::constant);
  REQUIRE(constants.size() == 2);
  CHECK(constants[0].value == 1 / std::sqrt(8.0F));
  CHECK(constants[1].value == -INFINITY);
  CHECK(forward.operations.size() == 14);
  CHECK(count(forward, CudnnKind::product) == 2);

  const CudnnGraph backward = cudnn_backward(dims);
  const auto gradients = of(backward, CudnnSource::dqkv);
  REQUIRE(gradients.size() == 3);
  check_tensor(gradients[0], CudnnType::bf16, {2, 3, 5, 8}, {360, 8, 72, 1}, 48);  // dV comes first, then dK, dQ
  check_tensor(gradients[1], CudnnType::bf16, {2, 3, 5, 8}, {360, 8, 72, 1}, 24);
  check_tensor(gradients[2], CudnnType::bf16, {2, 3, 5, 8}, {360, 8, 72, 1}, 0);
  check_tensor(of(backward, CudnnSource::scratch).at(0), CudnnType::f32, {2, 3, 5, 1}, {15, 5, 1, 1}, 0);
  CHECK(count(backward, CudnnKind::product) == 5);
  CHECK(count(backward, CudnnKind::sum) == 1);
}

TEST_CASE("cudnn graph: query heads that share a key head") {
  // Tokens of (4 + 2·2)·16 = 128 elements: queries at 0, keys at 64, values at 96.
  const AttentionDims dims = dims_of({1, 7, 4, 2, 16});
  const CudnnGraph forward = cudnn_forward(dims), backward = cudnn_backward(dims);
  check_tensor(of(forward, CudnnSource::qkv).at(1), CudnnType::bf16, {1, 2, 16, 7}, {896, 16, 1, 128}, 64);
  check_tensor(of(forward, CudnnSource::qkv).at(2), CudnnType::bf16, {1, 2, 7, 16}, {896, 16, 128, 1}, 96);
  const auto gradients = of(backward, CudnnSource::dqkv);
  check_tensor(gradients.at(0), CudnnType::bf16, {1, 2, 7, 16}, {896, 16, 128, 1}, 96);
  check_tensor(gradients.at(1), CudnnType::bf16, {1, 2, 7, 16}, {896, 16, 128, 1}, 64);
  check_tensor(gradients.at(2), CudnnType::bf16, {1, 4, 7, 16}, {896, 16, 128, 1}, 0);
  CHECK(count(backward, CudnnKind::sum) == 3);  // delta, and the heads of dV and dK
}

TEST_CASE("cudnn graph: a window adds a bound") {
  const AttentionDims dims = dims_of({1, 9, 2, 2, 8, 4});
  const CudnnGraph forward = cudnn_forward(dims);
  CHECK(count(forward, CudnnKind::select) == 2);
  CHECK(count(forward, CudnnKind::greater) == 1);
  const auto constants = of(forward, CudnnSource::constant);
  CHECK(std::ranges::count_if(constants, [](const CudnnTensor& c) { return c.value == 4; }) == 1);
  CHECK(count(cudnn_backward(dims), CudnnKind::select) == 2);
}

TEST_CASE("cudnn graph: addresses are in bytes, names start at 1") {
  std::vector<std::byte> bytes(64);
  float lse = 0;
  const CudnnMemory memory{.qkv = bytes.data(), .lse = &lse};
  CudnnTensor keys{.type = CudnnType::bf16, .source = CudnnSource::qkv, .offset = 24};
  CHECK(cudnn_address(keys, memory) == bytes.data() + 48);
  CudnnTensor statistics{.source = CudnnSource::lse};
  CHECK(cudnn_address(statistics, memory) == &lse);
  CudnnTensor number{.source = CudnnSource::constant, .value = 3};
  CHECK(cudnn_address(number, memory) == &number.value);
  CHECK(cudnn_id(0) == 1);
}

TEST_CASE("cudnn graph: computes what the specification computes") {
  const std::pair<const char*, Sizes> cases[] = {
      {"multi-head", {2, 5, 3, 3, 8}},         {"grouped", {2, 6, 4, 2, 8}},
      {"multi-query", {1, 7, 3, 1, 16}},       {"window", {1, 9, 2, 2, 8, 4}},
      {"window of one", {1, 5, 2, 1, 8, 1}},   {"window over all", {1, 4, 2, 1, 8, 9}},
      {"grouped, window", {2, 8, 6, 2, 8, 3}},
  };
  for (const auto& named : cases) {
    const auto* name = named.first;  // not a structured binding: clang 14 captures none
    const Sizes& sizes = named.second;
    CAPTURE(name);
    const AttentionDims dims = dims_of(sizes);
    const OpCase test{.name = name,
                      .op = "attention_cudnn",
                      .attributes = attributes_of(sizes),
                      .inputs = {{"qkv", f32({dims.B, dims.T, dims.token()})}}};
    const std::vector<Operand> inputs = operands_of(test, find_op("attention_cudnn"));
    const LaunchResult y = reference("attention_cudnn", sizes, inputs);
    const auto filled = [](std::size_t n) { return Elements(n, NAN); };
    std::map<CudnnSource, Elements> memory{{CudnnSource::qkv, inputs[0].values},
                                           {CudnnSource::y, filled(y.out[0].size())},
                                           {CudnnSource::lse, filled(y.out[1].size())}};
    Interpreter(cudnn_forward(dims), memory);
    check_close(memory[CudnnSource::y], y.out[0]);
    check_close(memory[CudnnSource::lse], y.out[1]);

    Values dy(y.out[0].size());
    for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = std::sin(static_cast<double>(i + 1));
    const Shape output{dims.B, dims.T, dims.H * dims.D}, statistics{dims.B, dims.H, dims.T};
    const LaunchResult gradient =
        reference("attention_cudnn_backward", sizes,
                  {inputs[0], {f32(output), y.out[0]}, {f32(statistics), y.out[1]}, {f32(output), dy}});
    memory[CudnnSource::dy] = dy;
    memory[CudnnSource::scratch] = filled(y.out[1].size());
    memory[CudnnSource::dqkv] = filled(inputs[0].values.size());
    Interpreter(cudnn_backward(dims), memory);
    check_close(memory[CudnnSource::dqkv], gradient.out[0]);  // every element of it: none is left NaN
  }
}

}  // namespace isoloss::test
