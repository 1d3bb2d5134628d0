#include "tests/harness/op_case.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"

namespace isoloss::test {

namespace {
Values filled(const OpCase& test, const CaseInput& input) {
  if (input.fill.kind == Fill::Kind::values) return rounded(input.fill.fixed);
  Philox random(hash_name(test.name), hash_name(input.port));
  Values values(static_cast<std::size_t>(input.type.shape.count()));
  const double low = input.fill.low, span = input.fill.high - input.fill.low;
  for (double& value : values) {
    switch (input.fill.kind) {
      case Fill::Kind::uniform:
        value = low + span * random.uniform();
        break;
      case Fill::Kind::integers:
        value = low + static_cast<double>(random.below(static_cast<std::uint64_t>(span)));
        break;
      default:
        value = low + input.fill.high * random.normal();
    }
  }
  return rounded(std::move(values));
}
}  // namespace

std::vector<Operand> operands_of(const OpCase& test, const OpDef& op) {
  std::vector<Operand> operands(op.inputs.size());
  for (const CaseInput& input : test.inputs) {
    const int port = op.input(input.port);
    if (port < 0) throw std::logic_error(fmt::format("{} has no input '{}'", op.name, input.port));
    operands[static_cast<std::size_t>(port)] = {input.type, filled(test, input), input.narrow};
  }
  return operands;
}

std::vector<std::string> failures_of(const OpCase& test, const OpDef& forward, const OpDef* backward) {
  std::vector<std::string> failures;
  const int threads_before = threads();
  try {
    const std::vector<Operand> inputs = operands_of(test, forward);
    check_kernel(test, forward, inputs, failures);
    const std::vector<Operand> backward_inputs = check_gradient(test, forward, backward, inputs, failures);
    if (backward != nullptr && !backward_inputs.empty()) check_kernel(test, *backward, backward_inputs, failures);
  } catch (const std::exception& error) {
    failures.push_back(fmt::format("unexpected exception: {}", error.what()));
  }
  set_threads(threads_before);
  return failures;
}

namespace {
void report(const OpCase& test, const std::vector<std::string>& failures) {
  CHECK_MESSAGE(failures.empty(), test.op, ", case \"", test.name, "\": ", failures.size(), " failures");
  constexpr std::size_t kShown = 8;  // one wrong kernel fails many checks; the first say it all
  for (std::size_t i = 0; i < std::min(kShown, failures.size()); ++i) MESSAGE("  ", failures[i]);
}
}  // namespace

void check_op(const OpCase& test) {
  const OpDef& forward = find_op(test.op);
  const std::string backward = forward.gradient.op;
  report(test, failures_of(test, forward, backward.empty() ? nullptr : &find_op(backward)));
}

void check_large(const OpCase& test) {
  const OpDef& op = find_op(test.op);
  std::vector<std::string> failures;
  check_numbers(test, op, operands_of(test, op), failures);
  report(test, failures);
}

}  // namespace isoloss::test
