#include "tools/bench/measure.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <string_view>

#include "engine/buffer.h"
#include "kernels/core/parallel.h"
#include "kernels/core/philox.h"
#include "tools/common/program.h"

namespace isoloss::bench {

std::vector<Timing> times_of(double seconds, const std::vector<std::function<void()>>& rivals) {
  constexpr double kTurn = 0.02;
  std::vector<std::vector<double>> times(rivals.size());
  for (const auto& rival : rivals) rival();
  const double start = now_seconds(), whole = seconds * static_cast<double>(rivals.size());
  for (int turn = 0; (turn < 3 || now_seconds() - start < whole) && !interrupted(); ++turn) {
    for (std::size_t i = 0; i < rivals.size(); ++i) {
      const double turn_start = now_seconds();
      for (double now = turn_start; now == turn_start || now - turn_start < kTurn;) {
        rivals[i]();
        const double end = now_seconds();
        times[i].push_back(end - now);
        now = end;
      }
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& list : times) {
    std::sort(list.begin(), list.end());
    timings.push_back(list.empty() ? Timing{}
                                   : Timing{list[list.size() / 2], list.front(), static_cast<int>(list.size())});
  }
  return timings;
}

Timing time_of(double seconds, const std::function<void()>& f) { return times_of(seconds, {f}).front(); }

namespace {

/// Tensors with buffers of their own.
class Tensors {
 public:
  Tensor empty(const TensorType& type) {
    if (!type.present()) return {};
    buffers_.emplace_back(type.bytes(), "bench");
    return {buffers_.back().data(), type};
  }

  /// Small numbers around 0 (from 0 on where `positive`), or ids below `ids`.
  Tensor random(const TensorType& type, std::int64_t ids, bool positive) {
    const Tensor tensor = empty(type);
    Philox numbers(3, buffers_.size());
    for (std::int64_t i = 0; i < tensor.count(); ++i) {
      if (type.dtype == DType::i32) {
        tensor.as<std::int32_t>()[i] = static_cast<std::int32_t>(numbers.next() % static_cast<std::uint32_t>(ids));
      } else {
        tensor.as<float>()[i] = static_cast<float>(numbers.uniform() * 0.1 - (positive ? 0 : 0.05));
      }
    }
    return tensor;
  }

 private:
  std::deque<Buffer> buffers_;
};

/// An operation with everything it needs to run.
struct Prepared {
  const OpDef& op;
  const Attributes& attributes;
  std::vector<Tensor> in, out;
  std::vector<Mode> modes;
  Tensor scratch;

  std::vector<TensorType> types(const std::vector<Tensor>& tensors) const {
    std::vector<TensorType> list;
    for (const Tensor& tensor : tensors) list.push_back(tensor.type);
    return list;
  }

  void run(DeviceKind device, const StepState& state) const {
    DeviceContext context{.kind = device, .scratch = scratch, .state = &state, .cuda = nullptr};
    op.launcher(device)(context, {.in = in, .out = out, .mode = modes, .attributes = attributes});
  }
};

Prepared prepare(const OpDef& op, const Attributes& attributes, std::vector<Tensor> in, DeviceKind device,
                 Tensors& tensors) {
  Prepared made{op, attributes, std::move(in), {}, {}, {}};
  const std::vector<TensorType> in_types = made.types(made.in);
  const std::vector<TensorType> out_types = op.infer({attributes, in_types, {}});
  for (std::size_t o = 0; o < out_types.size(); ++o) {
    // The optimizers always update in place; for the others the separate buffer keeps their input as it was.
    const OutputPort& port = op.outputs[o];
    const bool updates = std::string_view(port.name).ends_with("_out");
    made.out.push_back(updates ? made.in[static_cast<std::size_t>(op.input(port.in_place_of))]
                               : tensors.empty(out_types[o]));
    made.modes.push_back(out_types[o].present() ? Mode::write : Mode::skip);
  }
  if (op.scratch != nullptr) {
    const auto bytes = static_cast<std::int64_t>(op.scratch({attributes, in_types, out_types}, device, threads()));
    if (bytes > 0) made.scratch = tensors.empty({DType::u8, {bytes}});
  }
  return made;
}

Measured time_op(const Prepared& prepared, const std::string& what, DeviceKind device, double seconds) {
  // Decoding is measured at the last position of the context; everything else starts at the first.
  const bool decodes = prepared.op.name == "attention_cached";
  StepState state{.seed = 1};
  state.position = decodes ? prepared.in[1].shape()[1] - 1 : 0;
  state.learning_rate = 1e-3, state.bias_correction1 = 0.1, state.bias_correction2 = 0.05;
  Measured result{.op = prepared.op.name, .what = what, .shapes = {}, .timing = {}, .cost = {}};
  for (const Tensor& tensor : prepared.in) {
    if (tensor) result.shapes += (result.shapes.empty() ? "" : " ") + tensor.type.shape.text();
  }
  result.timing = time_of(seconds, [&] { prepared.run(device, state); });
  const std::vector<TensorType> in = prepared.types(prepared.in), out = prepared.types(prepared.out);
  result.cost = prepared.op.cost({prepared.attributes, in, out}, prepared.modes);
  return result;
}

/// The inputs of the backward op: inputs and outputs of the forward op by the record, gradients at random.
std::vector<Tensor> backward_inputs(const Prepared& forward, const OpDef& backward, Tensors& tensors) {
  std::vector<Tensor> in(backward.inputs.size());
  for (const auto& [port, source] : forward.op.gradient.reads) {
    Tensor& tensor = in[static_cast<std::size_t>(backward.input(port))];
    if (const int input = forward.op.input(source); input >= 0) {
      tensor = forward.in[static_cast<std::size_t>(input)];
    } else if (const int output = forward.op.output(source); output >= 0) {
      tensor = forward.out[static_cast<std::size_t>(output)];
    } else {
      const int of = forward.op.output(std::string_view(source).substr(1));
      const TensorType& type = forward.out[static_cast<std::size_t>(of)].type;
      if (type.present()) tensor = tensors.random(type, 1, false);
    }
  }
  return in;
}

}  // namespace

std::vector<Measured> measure(const Case& test, DeviceKind device, double seconds,
                              const std::function<bool(const std::string& op)>& wanted) {
  const OpDef& op = find_op(test.op);
  const std::string backward_name = op.gradient.op;
  const bool backward_wanted = !backward_name.empty() && wanted(backward_name);
  if (!wanted(op.name) && !backward_wanted) return {};
  const std::int64_t ids = test.attributes.has("vocab") ? test.attributes.integer("vocab") : 64;
  Tensors tensors;
  std::vector<Tensor> in;
  for (std::size_t i = 0; i < test.in.size(); ++i) {
    // Second moments are squares; the root of a negative one would be NaN.
    in.push_back(tensors.random(test.in[i], ids, std::string_view(op.inputs[i].name) == "v"));
  }
  in.resize(op.inputs.size());
  const Prepared forward = prepare(op, test.attributes, std::move(in), device, tensors);
  std::vector<Measured> results;
  // The backward op needs what the forward op saves, so that runs in any case.
  results.push_back(time_op(forward, test.what, device, wanted(op.name) ? seconds : 0));
  if (interrupted()) return {};
  if (!wanted(op.name)) results.clear();
  if (backward_wanted) {
    const OpDef& backward = find_op(backward_name);
    const Prepared prepared =
        prepare(backward, test.attributes, backward_inputs(forward, backward, tensors), device, tensors);
    results.push_back(time_op(prepared, test.what, device, seconds));
    if (interrupted()) results.pop_back();
  }
  return results;
}

}  // namespace isoloss::bench
