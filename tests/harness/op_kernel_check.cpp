// Launcher checks of one op on given inputs: numbers, modes, aliasing, threads, guard zones, shape rule, costs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "kernels/base/error.h"
#include "tests/harness/op_case.h"

namespace isoloss::test {

namespace {

/// The largest relative error of one rounding, twice: room for a double rounding.
constexpr double rounding_of(DType dtype) { return dtype == DType::bf16 ? 0x1p-8 : 0x1p-23; }

double largest(const Values& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

/// Largest |a - b|; infinity when a NaN or infinity stands on one side only or the lengths differ.
double worst_error(const Values& a, const Values& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double error = std::abs(a[i] - b[i]);
    if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, error);
  }
  return worst;
}

/// Numbers of threads, or on cuda orders of them (CudaRunner::context), that must give the bits of the first.
std::vector<int> others(DeviceKind kind) {
  if (kind != DeviceKind::cuda) return {1, 2, 3};
  return cuda_runner().watches_memory() ? std::vector{3} : std::vector{1, 2, 3, 4};
}

class KernelCheck {
 public:
  KernelCheck(const OpCase& test, const OpDef& op, std::vector<Operand> inputs, std::vector<std::string>& failures)
      : test_(test), op_(op), inputs_(std::move(inputs)), failures_(failures) {}

  /// The cuda launcher with activations of type `real`. What needs no device is left to programs without one.
  void run_cuda(DType real) {
    round_inputs(real);
    const LaunchResult exact = launch(request(DeviceKind::ref, DType::f64));
    const LaunchResult plain = launch(request(DeviceKind::ref, DType::f32));
    modes_ = plain.modes;
    device(DeviceKind::cuda, real, exact, plain);
    if (!cuda_runner().watches_memory()) nan_is_sticky(request(DeviceKind::cuda, real));
  }

  /// The numbers of one launch, and nothing else.
  void run_once(DeviceKind kind, DType real) {
    round_inputs(real);
    const LaunchResult exact = launch(request(DeviceKind::ref, DType::f64));
    const LaunchResult plain = launch(request(DeviceKind::ref, DType::f32));
    modes_ = plain.modes;
    numbers(request(kind, real), launch(request(kind, real)), exact, plain);
  }

  void run() {
    shape_rule();
    const LaunchResult exact = launch(request(DeviceKind::ref, DType::f64));
    const LaunchResult plain = launch(request(DeviceKind::ref, DType::f32));
    modes_ = plain.modes;
    costs(plain);
    reference_is_sane(exact, plain);
    device(DeviceKind::ref, DType::f32, exact, plain);
    nan_is_sticky(request(DeviceKind::cpu, DType::f32));
    if (op_.launch[static_cast<std::size_t>(DeviceKind::cpu)] == nullptr) return;
    const LaunchResult fallback = launch(request(DeviceKind::cpu, DType::f64));
    compare_bits(exact, fallback, "cpu on f64 against ref");
    device(DeviceKind::cpu, DType::f32, exact, plain);
  }

 private:
  void round_inputs(DType real) {
    for (Operand& input : inputs_) {
      if (is_real(input.type)) input.values = rounded(std::move(input.values), type_in(input, real).dtype);
    }
  }

  void fail(const std::string& what) { failures_.push_back(fmt::format("{}: {}", op_.name, what)); }

  bool updated(std::string_view port) const {
    return std::find(test_.updated.begin(), test_.updated.end(), port) != test_.updated.end();
  }

  /// Every existing output written, in place only where the op always is.
  LaunchRequest request(DeviceKind device, DType real) const {
    LaunchRequest made{.device = device, .real = real, .threads = 1, .modes = modes_, .in_place = {}, .previous = {}};
    made.in_place.resize(op_.outputs.size());
    for (std::size_t o = 0; o < op_.outputs.size(); ++o) made.in_place[o] = updated(op_.outputs[o].in_place_of);
    return made;
  }

  std::string described(const LaunchRequest& request) const {
    std::string text = fmt::format("{} {} threads={}", name_of(request.device), name_of(request.real), request.threads);
    for (std::size_t o = 0; o < op_.outputs.size(); ++o) {
      if (!request.modes.empty() && request.modes[o] == Mode::accumulate)
        text += fmt::format(" {}:accumulate", op_.outputs[o].name);
      if (!request.modes.empty() && request.modes[o] == Mode::skip && modes_[o] != Mode::skip) {
        text += fmt::format(" {}:skip", op_.outputs[o].name);
      }
      if (request.in_place[o]) text += fmt::format(" {}:in-place", op_.outputs[o].name);
    }
    return text;
  }

  /// Launches and checks what must hold for every launch: guards, and inputs that nobody may change.
  LaunchResult launch(const LaunchRequest& request) { return launch_on(inputs_, request); }

  LaunchResult launch_on(const std::vector<Operand>& inputs, const LaunchRequest& request) {
    LaunchResult result = launch_op(op_, test_.attributes, test_.state, inputs, request);
    for (const std::string& fault : result.faults) fail(fmt::format("{}: {}", described(request), fault));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      bool may_change = updated(op_.inputs[i].name);
      for (std::size_t o = 0; o < op_.outputs.size(); ++o) {
        may_change =
            may_change || (request.in_place[o] && std::string_view(op_.outputs[o].in_place_of) == op_.inputs[i].name);
      }
      if (!may_change && !same_bits(result.in_after[i], inputs[i].values)) {
        fail(fmt::format("{}: input {} was changed", described(request), op_.inputs[i].name));
      }
    }
    return result;
  }

  /// Results of a launch by name: outputs, then updated inputs.
  std::vector<std::pair<std::string, const Values*>> results(const LaunchResult& result) const {
    std::vector<std::pair<std::string, const Values*>> named;
    for (std::size_t o = 0; o < op_.outputs.size(); ++o) named.emplace_back(op_.outputs[o].name, &result.out[o]);
    for (std::size_t i = 0; i < op_.inputs.size(); ++i) {
      if (updated(op_.inputs[i].name)) named.emplace_back(op_.inputs[i].name, &result.in_after[i]);
    }
    return named;
  }

  /// Bits of every result; outputs whose mode is not `write` in the second launch are left out.
  void compare_bits(const LaunchResult& expected, const LaunchResult& got, const std::string& what) {
    const auto a = results(expected), b = results(got);
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (i < got.modes.size() && got.modes[i] != Mode::write) continue;
      if (!same_bits(*a[i].second, *b[i].second)) {
        fail(fmt::format("{}: {} has other bits (largest difference {:.3g})", what, a[i].first,
                         worst_error(*a[i].second, *b[i].second)));
      }
    }
  }

  void reference_is_sane(const LaunchResult& exact, const LaunchResult& plain) {
    const auto a = results(exact), b = results(plain);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double error = worst_error(*a[i].second, *b[i].second), size = largest(*a[i].second);
      for (const double value : *a[i].second) {
        if (std::isnan(value)) {
          fail(fmt::format("ref f64: {} holds NaN (unwritten or wrong)", a[i].first));
          break;
        }
      }
      if (!(error <= test_.reference_error * size + 0x1p-46)) {
        fail(fmt::format("ref f32: {} is off by {:.3g} at size {:.3g}", a[i].first, error, size));
      }
    }
  }

  void device(DeviceKind kind, DType real, const LaunchResult& exact, const LaunchResult& plain) {
    const LaunchRequest usual = request(kind, real);
    const LaunchResult base = launch(usual);
    numbers(usual, base, exact, plain);
    for (const int threads : others(kind)) {
      LaunchRequest same = usual;
      same.threads = threads;
      compare_bits(base, launch(same), described(same));
    }
    skips(usual, base, exact, plain);
    in_place(usual, base);
    accumulate(usual, base, exact, plain);
  }

  void numbers(const LaunchRequest& usual, const LaunchResult& base, const LaunchResult& exact,
               const LaunchResult& plain) {
    const auto wanted = results(exact), reference = results(plain), got = results(base);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (i < base.modes.size() && base.modes[i] == Mode::skip) continue;
      const double allowed = bound(*wanted[i].second, *reference[i].second, result_type(base, usual.real, i));
      const double error = worst_error(*got[i].second, *wanted[i].second);
      if (!(error <= allowed)) {
        fail(fmt::format("{}: {} errs by {:.3g}, allowed {:.3g}", described(usual), got[i].first, error, allowed));
      }
    }
  }

  double bound(const Values& exact, const Values& plain, DType stored) const {
    const Values as_stored = rounded(plain, stored);
    return test_.error_multiple * worst_error(as_stored, exact) + rounding_of(stored) * largest(exact);
  }

  /// The precision of entry `index` of results(): the dtype it is stored in, unless intermediates were narrower.
  DType result_type(const LaunchResult& result, DType real, std::size_t index) const {
    if (index < op_.outputs.size()) {
      const auto& through = test_.through_bf16;
      const bool narrower = std::find(through.begin(), through.end(), op_.outputs[index].name) != through.end();
      return narrower && real == DType::bf16 ? DType::bf16 : result.out_types[index].dtype;
    }
    std::size_t at = op_.outputs.size();
    for (std::size_t i = 0; i < op_.inputs.size(); ++i) {
      if (updated(op_.inputs[i].name) && at++ == index) return result.in_types[i].dtype;
    }
    throw std::logic_error("no such result");
  }

  /// Every combination of outputs that may be skipped, short of skipping everything.
  void skips(const LaunchRequest& usual, const LaunchResult& base, const LaunchResult& exact,
             const LaunchResult& plain) {
    std::vector<std::size_t> optional;
    for (std::size_t o = 0; o < op_.outputs.size(); ++o) {
      if ((op_.outputs[o].can_skip || op_.outputs[o].saved) && base.modes[o] != Mode::skip) optional.push_back(o);
    }
    for (unsigned chosen = 1; chosen < (1u << optional.size()); ++chosen) {
      LaunchRequest some = usual;
      some.modes = base.modes;
      for (std::size_t i = 0; i < optional.size(); ++i) {
        if (chosen >> i & 1u) some.modes[optional[i]] = Mode::skip;
      }
      if (std::all_of(some.modes.begin(), some.modes.end(), [](Mode mode) { return mode == Mode::skip; })) continue;
      if (test_.library_decides && usual.device == DeviceKind::cuda) {
        numbers(some, launch(some), exact, plain);
      } else {
        compare_bits(base, launch(some), described(some));
      }
    }
  }

  bool fits_in_place(std::size_t o, const LaunchResult& base) const {
    const int input = op_.input(op_.outputs[o].in_place_of);
    return input >= 0 && base.modes[o] != Mode::skip &&
           base.in_types[static_cast<std::size_t>(input)] == base.out_types[o];
  }

  /// Each output that may take over an input's buffer, alone and then all of them together.
  void in_place(const LaunchRequest& usual, const LaunchResult& base) {
    LaunchRequest all = usual;
    std::vector<std::string_view> taken;
    for (std::size_t o = 0; o < op_.outputs.size(); ++o) {
      const std::string_view name = op_.outputs[o].in_place_of;
      if (!name.empty() && op_.input(name) < 0)
        fail(fmt::format("output {} in place of unknown input", op_.outputs[o].name));
      if (name.empty() || !fits_in_place(o, base) || usual.in_place[o]) continue;
      LaunchRequest shared = usual;
      shared.in_place[o] = true;
      compare_bits(base, launch(shared), described(shared));
      if (std::find(taken.begin(), taken.end(), name) != taken.end()) continue;
      taken.push_back(name);
      all.in_place[o] = true;
    }
    if (taken.size() > 1) compare_bits(base, launch(all), described(all));
  }

  void accumulate(const LaunchRequest& usual, const LaunchResult& base, const LaunchResult& exact,
                  const LaunchResult& plain) {
    for (std::size_t o = 0; o < op_.outputs.size(); ++o) {
      if (!op_.outputs[o].can_accumulate || base.modes[o] == Mode::skip) continue;
      LaunchRequest adding = usual;
      adding.modes = base.modes;
      adding.modes[o] = Mode::accumulate;
      adding.previous.resize(op_.outputs.size());
      for (std::size_t i = 0; i < base.out[o].size(); ++i) {
        adding.previous[o].push_back(static_cast<double>(1 + i % 7) * (i % 2 == 0 ? 0.5 : -0.5));
      }
      const LaunchResult added = launch(adding);
      compare_bits(base, added, described(adding));
      Values sum = exact.out[o];
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += adding.previous[o][i];
      // One more rounding than writing, of the sum and of each partial sum added into it.
      const DType stored = result_type(base, usual.real, o);
      const double allowed =
          bound(exact.out[o], plain.out[o], stored) + 2 * rounding_of(stored) * (largest(sum) + largest(exact.out[o]));
      const double error = worst_error(added.out[o], sum);
      if (!(error <= allowed)) {
        fail(fmt::format("{}: errs by {:.3g}, allowed {:.3g}", described(adding), error, allowed));
      }
    }
  }

  /// Where a NaN in an input reaches a result of the reference, it must reach that result of `fast` too; and it must
  /// reach some result if the element matters at all.
  void nan_is_sticky(const LaunchRequest& fast) {
    const LaunchRequest plain = request(DeviceKind::ref, DType::f32);
    const LaunchResult base = launch(plain);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!is_real(inputs_[i].type)) continue;
      const std::size_t count = inputs_[i].values.size();
      for (const std::size_t at : {std::size_t{0}, count / 2, count - 1}) {
        std::vector<Operand> changed = inputs_;
        changed[i].values[at] += 1;
        changed[i].values = rounded(std::move(changed[i].values));
        const bool matters = !bits_equal(base, launch_on(changed, plain));
        changed[i].values[at] = std::numeric_limits<double>::quiet_NaN();
        const auto reference = launch_on(changed, plain), got = launch_on(changed, fast);
        const std::string where = fmt::format("NaN in {}[{}]", op_.inputs[i].name, at);
        if (matters && !any_nan(reference)) fail(where + " is lost by ref");
        const auto a = results(reference), b = results(got);
        for (std::size_t r = 0; r < a.size(); ++r) {
          for (std::size_t e = 0; e < a[r].second->size(); ++e) {
            if (std::isnan((*a[r].second)[e]) && !std::isnan((*b[r].second)[e])) {
              fail(fmt::format("{} reaches {}[{}] on ref but not on {}", where, a[r].first, e, name_of(fast.device)));
              break;
            }
          }
        }
      }
    }
  }

  bool bits_equal(const LaunchResult& a, const LaunchResult& b) const {
    const auto left = results(a), right = results(b);
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (!same_bits(*left[i].second, *right[i].second)) return false;
    }
    return true;
  }

  bool any_nan(const LaunchResult& result) const {
    const auto named = results(result);
    return std::any_of(named.begin(), named.end(), [](const auto& entry) {
      return std::any_of(entry.second->begin(), entry.second->end(), [](double value) { return std::isnan(value); });
    });
  }

  void shape_rule() {
    std::vector<TensorType> types;
    for (const Operand& input : inputs_) types.push_back(input.type);
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (!types[i].present()) continue;
      if (!op_.inputs[i].optional) must_reject(types, i, {});
      must_reject(types, i, {DType::u8, types[i].shape});
    }
    for (const auto& [port, type] : test_.rejects) {
      const int index = op_.input(port);
      if (index >= 0 && types[static_cast<std::size_t>(index)].present())
        must_reject(types, static_cast<std::size_t>(index), type);
    }
  }

  void must_reject(std::vector<TensorType> types, std::size_t port, const TensorType& type) {
    types[port] = type;
    const std::string what = fmt::format("shape rule, {} as {}", op_.inputs[port].name, type.text());
    try {
      op_.infer({test_.attributes, types, {}});
      fail(what + ": accepted");
    } catch (const Error& error) {
      const std::string_view text = error.what();
      const bool well_formed = error.exit_code() == 2 && text.substr(0, op_.name.size() + 2) == "[" + op_.name + "]" &&
                               text.find(" expected ") != std::string_view::npos &&
                               text.find(", got ") != std::string_view::npos;
      if (!well_formed) fail(fmt::format("{}: message '{}', exit code {}", what, text, error.exit_code()));
    }
  }

  void costs(const LaunchResult& plain) {
    if (op_.cost == nullptr) return fail("no cost function");
    const OpTypes types{test_.attributes, plain.in_types, plain.out_types};
    const Cost full = op_.cost(types, plain.modes);
    const bool sensible = full.matmul_flops >= 0 && full.flops >= full.matmul_flops && full.bytes > 0 &&
                          std::isfinite(full.flops) && std::isfinite(full.bytes);
    if (!sensible) fail(fmt::format("cost: flops {}, matmul {}, bytes {}", full.flops, full.matmul_flops, full.bytes));
    for (std::size_t o = 0; o < op_.outputs.size(); ++o) {
      std::vector<Mode> fewer = plain.modes;
      fewer[o] = Mode::skip;
      const Cost less = op_.cost(types, fewer);
      if (less.flops > full.flops || less.bytes > full.bytes)
        fail(fmt::format("cost: skipping {} costs more", op_.outputs[o].name));
    }
  }

  const OpCase& test_;
  const OpDef& op_;
  std::vector<Operand> inputs_;
  std::vector<std::string>& failures_;
  std::vector<Mode> modes_;
};

}  // namespace

void check_kernel(const OpCase& test, const OpDef& op, const std::vector<Operand>& inputs,
                  std::vector<std::string>& failures) {
  if (!has_cuda()) return KernelCheck(test, op, inputs, failures).run();
  if (op.launch[static_cast<std::size_t>(DeviceKind::cuda)] == nullptr) return;
  const auto run = [&](DType real) {
    KernelCheck check(test, op, inputs, failures);
    cuda_runner().launches_once() ? check.run_once(DeviceKind::cuda, real) : check.run_cuda(real);
  };
  if (test.single) run(DType::f32);
  if (test.narrow) run(DType::bf16);
}

void check_numbers(const OpCase& test, const OpDef& op, const std::vector<Operand>& inputs,
                   std::vector<std::string>& failures) {
  const DeviceKind device = has_cuda() ? DeviceKind::cuda : DeviceKind::cpu;
  KernelCheck(test, op, inputs, failures).run_once(device, DType::f32);
  if (has_cuda() && test.narrow) KernelCheck(test, op, inputs, failures).run_once(device, DType::bf16);
}

}  // namespace isoloss::test
