// One case of one operation, and the check that everything which can be said about an operation from its OpDef alone
// holds for it. A test file is a list of cases:
//
//   TEST_CASE("rmsnorm") {
//     check_op({.name = "three rows", .op = "rmsnorm", .attributes = {{"epsilon", 1e-5}},
//               .inputs = {{"x", f32({3, 40})}, {"w", f32({40})}}});
//   }
//
// What is checked, for the forward op and for the backward op its gradient record names:
// - gradients (double, through the record and its aliases) against central differences of an asymmetric loss, in
// programs
//   without a cuda device;
// - cpu against ref by error policy: the error against the double reference may be at most `error_multiple` times the
//   error that the float reference makes, plus one rounding of the largest element;
// - in programs with a cuda device, instead: cuda in float and in bf16 against ref by the same policy, where the plain
//   bf16 implementation is the float reference on the same bf16 inputs with its results rounded to bf16;
// - nothing outside an output or the scratch is written, no input is changed, no output or scratch is read unwritten;
// - Mode::accumulate adds, Mode::skip leaves the other outputs' bits alone, in place gives the same bits;
// - 1, 2 and 3 threads (on the host executor: four orders of the threads) give the same bits; a NaN in an input that
// matters is never lost;
// - the shape rule rejects absent inputs, wrong types and the listed shapes with one line `[op] expected …, got …`;
// - costs are consistent.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/core/op.h"
#include "tests/harness/op_launch.h"

namespace isoloss::test {

/// How an input is filled; the draws are a fixed function of the case and port names.
struct Fill {
  enum class Kind : std::uint8_t { normal, uniform, integers, values } kind = Kind::normal;
  double low = 0, high = 1;  ///< normal: mean and deviation; uniform and integers: the half-open range
  Values fixed;              ///< values: exactly these

  static Fill normal(double mean, double deviation) { return {Kind::normal, mean, deviation, {}}; }
  static Fill uniform(double low, double high) { return {Kind::uniform, low, high, {}}; }
  static Fill integers(double low, double high) { return {Kind::integers, low, high, {}}; }
  static Fill values(Values fixed) { return {Kind::values, 0, 0, std::move(fixed)}; }
};

struct CaseInput {
  std::string port;
  TensorType type;  ///< real tensors as f32
  Fill fill = {};
  DType narrow = DType::bf16;  ///< as in Operand
};

struct OpCase {
  std::string name;
  std::string op;
  Attributes attributes = {};
  std::vector<CaseInput> inputs;  ///< by port name; ports not listed are absent
  StepState state = {.seed = 7,
                     .step = 3,
                     .micro_batch = 0,
                     .position = 0,
                     .learning_rate = 0.01,
                     .bias_correction1 = 0.3,
                     .bias_correction2 = 0.1};
  /// Inputs that the operation modifies (a cache, parameters): they count as results, and outputs in place of them
  /// always are.
  std::vector<std::string> updated = {};
  /// Real inputs and outputs that have no gradient on purpose.
  std::vector<std::string> constants = {};
  /// Types that the shape rule must reject: the case with this one input changed.
  std::vector<std::pair<std::string, TensorType>> rejects = {};
  /// cpu error over float-ref error. Other summation orders are rather more exact than the plain loop and vector
  /// exponentials a few ulps off; 4 leaves room for the spread of a maximum over few elements.
  double error_multiple = 4;
  /// The operation is also run in bf16 where the device can (optimizers work in float32 alone).
  bool narrow = true;
  /// The operation is also run in float32 on a device (cuDNN's attention knows bf16 alone).
  bool single = true;
  /// On cuda, whether an output is wanted decides how others are computed (linear's pre: by an epilogue of the library,
  /// by another of its algorithms, or by a kernel of ours): skipping it keeps the bound instead of the bits.
  bool library_decides = false;
  /// Programs without a device do not have this case, so those with one compare its gradients with finite differences.
  bool only_with_device = false;
  /// Results that a bf16 run computes from intermediates stored in bf16 (logits, dlogits, dpre): although they are
  /// float32 themselves, they are compared as precisely as bf16 results are.
  std::vector<std::string> through_bf16 = {};
  /// float-ref error over the largest element. Beyond this the case is ill-conditioned (or the float reference wrong)
  /// and a multiple of its error would say nothing.
  double reference_error = 1e-4;
  /// Tolerance of the finite differences, relative to the largest gradient element. Their five-point formula at
  /// h = 2^-10 errs by h^4 ~ 1e-12 times the fifth derivative; 1e-7 leaves room for steep functions.
  double gradient_error = 1e-7;
};

inline TensorType f32(Shape shape) { return {DType::f32, shape}; }
inline TensorType i32(Shape shape) { return {DType::i32, shape}; }

/// The inputs of the case in port order, filled.
std::vector<Operand> operands_of(const OpCase& test, const OpDef& op);

/// Everything wrong with `forward` (and `backward`, null when the record names none) on this case; empty when right.
std::vector<std::string> failures_of(const OpCase& test, const OpDef& forward, const OpDef* backward);

/// Looks the ops up in the registry and reports every failure to doctest.
void check_op(const OpCase& test);

/// The error policy alone, on one launch of `test.op`, which may be a backward op: for shapes that are too large for
/// the rest.
void check_large(const OpCase& test);

// The two halves of failures_of, each in its own file.

/// Launcher checks of a single op on given inputs.
void check_kernel(const OpCase& test, const OpDef& op, const std::vector<Operand>& inputs,
                  std::vector<std::string>& failures);
/// The numbers of a single launch on the fastest device.
void check_numbers(const OpCase& test, const OpDef& op, const std::vector<Operand>& inputs,
                   std::vector<std::string>& failures);
/// Finite differences on ref in double; returns the inputs of the backward op, rounded to float, for check_kernel.
std::vector<Operand> check_gradient(const OpCase& test, const OpDef& forward, const OpDef* backward,
                                    const std::vector<Operand>& inputs, std::vector<std::string>& failures);

}  // namespace isoloss::test
