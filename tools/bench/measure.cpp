#include "tools/bench/measure.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "tools/bench/device_peers.h"
#include "tools/bench/operation.h"
#include "tools/common/program.h"

namespace isoloss::bench {

namespace {

/// Bytes that one run of the forward op moves.
double bytes_of_case(const OpDef& op, const Case& test) {
  std::vector<TensorType> in = test.in;
  in.resize(op.inputs.size());
  std::vector<TensorType> out = op.infer({test.attributes, in, {}});
  out.resize(op.outputs.size());
  std::vector<Mode> modes;
  for (const TensorType& type : out) modes.push_back(type.present() ? Mode::write : Mode::skip);
  return op.cost({test.attributes, in, out}, modes).bytes;
}

std::vector<std::vector<Tensor>> forward_inputs(const OpDef& op, const Case& test, Operands& operands) {
  const std::int64_t ids = test.attributes.has("vocab") ? test.attributes.integer("vocab") : 64;
  std::vector<std::vector<Tensor>> in(
      static_cast<std::size_t>(copies_beyond_cache(operands.machine(), bytes_of_case(op, test))));
  for (std::vector<Tensor>& copy : in) {
    for (std::size_t i = 0; i < test.in.size(); ++i) {
      // Second moments are squares; the root of a negative one would be NaN.
      const bool positive = std::string_view(op.inputs[i].name) == "v";
      copy.push_back(&copy == &in.front() ? operands.random(test.in[i], ids, positive) : operands.copy(in.front()[i]));
    }
    copy.resize(op.inputs.size());
  }
  return in;
}

/// Nothing where the user interrupted.
std::optional<Measured> timed(const Operation& operation, const std::string& what, double seconds, Operands& operands) {
  const Machine& machine = operands.machine();
  Measured result{.op = operation.op().name,
                  .what = what,
                  .shapes = operation.shapes(),
                  .copies = operation.copies(),
                  .timing = {},
                  .cost = operation.cost(),
                  .peer = {}};
  operation.arm();
  std::vector<Rival> rivals = {{[&](int turn) { operation.run(turn); }, operation.copies()}};
  std::optional<DevicePeer> peer;
  if (!machine.on_host()) peer = peer_of(operation, operands);
  if (peer) rivals.push_back(peer->rival);
  const std::vector<Timing> timings = times_of(machine, seconds, rivals);
  if (interrupted()) return std::nullopt;
  result.timing = timings[0];
  if (peer) result.peer = {peer->name, timings[1]};
  return result;
}

std::vector<Measured> measure_available(const Case& test, const Machine& machine, double seconds,
                                        const std::function<bool(const std::string& op)>& wanted) {
  const OpDef& op = find_op(test.op);
  const std::string backward_name = op.gradient.op;
  const bool forward_wanted = wanted(op.name);
  const bool backward_wanted =
      !backward_name.empty() && wanted(backward_name) && available(backward_name, machine.kind());
  if (!forward_wanted && !backward_wanted) return {};
  Operands operands(machine);
  const Operation forward(op, test.attributes, forward_inputs(op, test, operands), operands);
  std::vector<Measured> results;
  // The backward op needs what the forward op saves, so that runs in any case.
  forward.arm();
  for (int copy = 0; copy < forward.copies(); ++copy) forward.run(copy);
  if (forward_wanted) {
    if (std::optional<Measured> result = timed(forward, test.what, seconds, operands)) results.push_back(*result);
  }
  if (backward_wanted && !interrupted()) {
    const OpDef& def = find_op(backward_name);
    const Operation backward(def, test.attributes, backward_inputs(forward, def, operands), operands);
    if (std::optional<Measured> result = timed(backward, test.what, seconds, operands)) results.push_back(*result);
  }
  return results;
}

}  // namespace

std::vector<Measured> measure(const Case& test, const Machine& machine, double seconds,
                              const std::function<bool(const std::string& op)>& wanted) {
  if (!available(test.op, machine.kind())) return {};
  // cuDNN is a yardstick of the device; it may be missing, or refuse what our own kernels take.
  const bool yardstick = test.op == "attention_cudnn";
  if (yardstick && machine.on_host()) return {};
  try {
    return measure_available(test, machine, seconds, wanted);
  } catch (const Error& error) {
    if (!yardstick) throw;
    say(fmt::format("{} is left out: {}", test.op, error.what()));
    return {};
  }
}

}  // namespace isoloss::bench
