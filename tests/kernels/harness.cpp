// Proves that the harness catches what it is there to catch: a right operation passes, and the same operation with one
// planted bug fails with the complaint that belongs to it.
#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/base/parallel.h"
#include "kernels/base/sanitized.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {
namespace {

// y = x * w by column, and its backward: small, yet with a broadcast, a reduction, scratch, in-place and every mode.
enum class Bug {
  none,
  gradient_factor,
  gradient_one_element,
  gradient_missing,
  overrun,
  underrun,
  scratch_overrun,
  accumulate_overwrites,
  skip_disturbs,
  in_place_breaks,
  reads_output,
  changes_input,
  thread_dependent,
  cpu_inexact,
  cpu_drops_nan,
  ref_drops_nan,
  shape_accepted,
  careless_message,
  skipping_costs,
};

std::vector<TensorType> infer_product(const OpTypes& types, bool strict) {
  const TensorType &x = types.in[0], &w = types.in[1];
  const bool real = x.dtype == DType::f32 || x.dtype == DType::f64;
  expect(x.present() && real, "product", "a real x", x.text());
  expect(w.present() && w.dtype == x.dtype && (!strict || w.shape == Shape{x.shape[-1]}), "product",
         "w of the width of x", w.text());
  return {x};
}
std::vector<TensorType> infer_backward(const OpTypes& types) {
  const TensorType &x = types.in[0], &w = types.in[1], &dy = types.in[2];
  const bool real = x.dtype == DType::f32 || x.dtype == DType::f64;
  const bool fits =
      x.present() && real && w.present() && w.dtype == x.dtype && w.shape == Shape{x.shape[-1]} && dy == x;
  expect(fits, "product_backward", "x, w and dy that fit", x.text());
  return {x, w};
}

template <Bug bug, class T, bool fast>
void forward(DeviceContext&, const OpCall& call) {
  const Tensor &x = call.in[0], &w = call.in[1], &y = call.out[0];
  const std::int64_t width = x.shape()[-1], count = x.count();
  for (std::int64_t i = 0; i < count; ++i) {
    T value = x.as<T>()[i] * w.as<T>()[i % width];
    if (fast && bug == Bug::cpu_inexact) value *= T(1.00001);
    if (fast && bug == Bug::cpu_drops_nan) value = value > T(-1e30) ? value : T(-1e30);
    if (bug == Bug::ref_drops_nan) value = value > T(-1e30) ? value : T(-1e30);
    if (bug == Bug::reads_output) value += 0 * y.as<T>()[i];
    y.as<T>()[i] = value;
  }
  if (bug == Bug::overrun) y.as<T>()[count] = 0;
  if (bug == Bug::underrun) y.as<T>()[-1] = 0;
  if (bug == Bug::changes_input) x.as<T>()[0] += 1;
}

template <Bug bug, class T, bool fast>
void backward(DeviceContext& context, const OpCall& call) {
  const Tensor &x = call.in[0], &w = call.in[1], &dy = call.in[2], &dx = call.out[0], &dw = call.out[1];
  const std::int64_t width = x.shape()[-1], rows = x.shape().rows();
  T* sum = static_cast<T*>(context.scratch.data);
  std::fill(sum, sum + width + (bug == Bug::scratch_overrun ? 1 : 0), T(0));
  const std::int64_t chunk = fast && bug == Bug::thread_dependent ? (rows + threads() - 1) / threads() : rows;
  const auto reduce = [&] {
    for (std::int64_t begin = 0; begin < rows; begin += chunk) {
      for (std::int64_t c = 0; c < width; ++c) {
        T part = 0;
        for (std::int64_t r = begin; r < std::min(rows, begin + chunk); ++r) {
          part += dy.as<T>()[r * width + c] * x.as<T>()[r * width + c];
        }
        sum[c] += part;
      }
    }
  };
  if (bug != Bug::in_place_breaks) reduce();
  if (dx) {
    for (std::int64_t i = 0; i < x.count(); ++i) {
      T value = dy.as<T>()[i] * w.as<T>()[i % width];
      if (bug == Bug::gradient_one_element && i == x.count() - 2) value *= T(1.01);
      if (bug == Bug::skip_disturbs && call.mode[1] == Mode::skip) value *= 2;
      dx.as<T>()[i] = call.mode[0] == Mode::accumulate ? dx.as<T>()[i] + value : value;
    }
  }
  if (bug == Bug::in_place_breaks) reduce();
  if (!dw) return;
  for (std::int64_t c = 0; c < width; ++c) {
    if (bug == Bug::gradient_factor) sum[c] *= 2;
    const bool add = call.mode[1] == Mode::accumulate && bug != Bug::accumulate_overwrites;
    dw.as<T>()[c] = add ? dw.as<T>()[c] + sum[c] : sum[c];
  }
}

template <Bug bug, bool fast>
void launch_forward(DeviceContext& context, const OpCall& call) {
  const bool wide = call.in[0].type.dtype == DType::f64;
  wide ? forward<bug, double, false>(context, call) : forward<bug, float, fast>(context, call);
}
template <Bug bug, bool fast>
void launch_backward(DeviceContext& context, const OpCall& call) {
  const bool wide = call.in[0].type.dtype == DType::f64;
  wide ? backward<bug, double, false>(context, call) : backward<bug, float, fast>(context, call);
}

template <Bug bug>
std::vector<std::string> failures() {
  OpDef product{.name = "product", .inputs = {{"x"}, {"w"}}, .outputs = {{.name = "y"}}, .gradient = {}};
  product.infer = [](const OpTypes& types) {
    if (bug == Bug::careless_message && !types.in[0].present()) throw Error("product: bad", 1);
    return infer_product(types, bug != Bug::shape_accepted);
  };
  product.cost = [](const OpTypes& types, std::span<const Mode>) {
    return Cost{.flops = 1, .matmul_flops = 0, .bytes = static_cast<double>(types.in[0].bytes())};
  };
  product.gradient = {.op = "product_backward",
                      .reads = {{"x", "x"}, {"w", "w"}, {"dy", "dy"}},
                      .writes = {{"dx", "x"}, {"dw", "w"}},
                      .aliases = {},
                      .replaces_forward = false};
  if (bug == Bug::gradient_missing) product.gradient.writes.pop_back();
  product.launch = {launch_forward<bug, false>, launch_forward<bug, true>, nullptr};

  OpDef product_backward{.name = "product_backward",
                         .inputs = {{"x"}, {"w"}, {"dy"}},
                         .outputs = {{.name = "dx", .in_place_of = "dy", .can_accumulate = true, .can_skip = true},
                                     {.name = "dw", .can_accumulate = true, .can_skip = true}},
                         .gradient = {}};
  product_backward.infer = infer_backward;
  product_backward.cost = [](const OpTypes&, std::span<const Mode> mode) {
    return Cost{
        .flops = bug == Bug::skipping_costs && mode[0] == Mode::skip ? 9.0 : 1.0, .matmul_flops = 0, .bytes = 1};
  };
  product_backward.scratch = [](const OpTypes& types, DeviceKind, int) { return types.in[1].bytes(); };
  product_backward.launch = {launch_backward<bug, false>, launch_backward<bug, true>, nullptr};

  const OpCase test{.name = "planted",
                    .op = "product",
                    .inputs = {{"x", f32({37, 5})}, {"w", f32({5})}},
                    .rejects = {{"w", f32({6})}, {"w", f32({1, 5})}}};
  return failures_of(test, product, &product_backward);
}

template <Bug bug>
bool caught(const std::string& complaint) {
  const auto found = failures<bug>();
  for (const std::string& failure : found) {
    if (failure.find(complaint) != std::string::npos) return true;
  }
  for (const std::string& failure : found) MESSAGE("instead: ", failure);
  return false;
}

}  // namespace

TEST_CASE("harness: a right operation passes") {
  const auto found = failures<Bug::none>();
  for (const std::string& failure : found) MESSAGE(failure);
  CHECK(found.empty());
}

TEST_CASE("harness: each planted bug is caught") {
  CHECK(caught<Bug::gradient_factor>("finite differences"));
  CHECK(caught<Bug::gradient_one_element>("along a random direction"));
  CHECK(caught<Bug::gradient_missing>("input w has none"));
#ifndef ISOLOSS_ADDRESS_SANITIZED  // which ends the program at these
  CHECK(caught<Bug::overrun>("wrote outside output y"));
  CHECK(caught<Bug::underrun>("wrote outside output y"));
  CHECK(caught<Bug::scratch_overrun>("wrote outside scratch"));
#endif
  CHECK(caught<Bug::accumulate_overwrites>("dw:accumulate: errs"));
  CHECK(caught<Bug::skip_disturbs>("dw:skip: dx has other bits"));
  CHECK(caught<Bug::in_place_breaks>("dx:in-place: dw has other bits"));
  CHECK(caught<Bug::reads_output>("holds NaN"));
  CHECK(caught<Bug::changes_input>("input x was changed"));
  CHECK(caught<Bug::thread_dependent>("threads=3: dw has other bits"));
  CHECK(caught<Bug::cpu_inexact>("cpu f32 threads=1: y errs"));
  CHECK(caught<Bug::cpu_drops_nan>("on ref but not on cpu"));
  CHECK(caught<Bug::ref_drops_nan>("is lost by ref"));
  CHECK(caught<Bug::shape_accepted>("shape rule, w as f32[6]: accepted"));
  CHECK(caught<Bug::careless_message>("message 'product: bad', exit code 1"));
  CHECK(caught<Bug::skipping_costs>("skipping dx costs more"));
}

}  // namespace isoloss::test
