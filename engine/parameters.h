// ParameterStore: every parameter of a model in one contiguous range, its gradients and moments in ranges of the same
// layout, so that the optimizer and the global norm are one pass over memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/buffer.h"
#include "engine/graph.h"

namespace isoloss {

/// How a parameter starts. `normal`: mean 0, `std`; drawn from (seed, name) alone, so models that share a parameter's
/// name and shape share its start.
struct Initialisation {
  enum class Kind : std::uint8_t { zeros, ones, normal } kind = Kind::zeros;
  double std = 0;
};

struct ParameterInfo {
  std::string name;
  Shape shape;  ///< as in memory, padding included
  Initialisation init;
  std::int64_t rows = 0;    ///< rows (first dimension) that carry meaning; the rest is padding, kept zero
  std::int64_t offset = 0;  ///< elements from the start of each range
  bool decays = false;      ///< weight decay applies: two or more dimensions
  std::int64_t count() const { return shape.count(); }
  std::int64_t used() const { return shape.count() / shape[0] * rows; }
};

class ParameterStore {
 public:
  explicit ParameterStore(DType dtype = DType::f32) : dtype_(dtype) {}

  /// Declares a parameter. `rows` < 0: all of them.
  void declare(const std::string& name, const Shape& shape, Initialisation init, std::int64_t rows = -1);
  /// Lays out the ranges, decaying parameters first; call once after the last declare().
  void lay_out();
  /// Allocates the values, and the gradients where they are wanted; after lay_out(). With `working` = bf16 there is
  /// also a range of the values rounded to bf16, which is what graphs of bf16 read; the optimizer keeps it up to date.
  void allocate(bool with_gradients, const Machine& machine = DeviceKind::cpu, DType working = DType::f32);
  /// Moments are allocated at the optimizer's wish, `ranges` of them, zeroed.
  void allocate_moments(int ranges);

  /// Draws the initial values and puts them where the machine computes.
  void initialise(std::uint64_t seed);

  DType dtype() const { return dtype_; }
  const std::vector<ParameterInfo>& all() const { return parameters_; }
  const ParameterInfo& info(std::string_view name) const;
  bool has(std::string_view name) const;

  // Where the machine computes.
  Tensor value(std::string_view name) const { return view(values_.memory, info(name), dtype_); }
  Tensor gradient(std::string_view name) const { return view(gradients_.memory, info(name), dtype_); }
  /// What a graph of dtype `real` reads: the values, or their rounded copy.
  Tensor value(std::string_view name, DType real) const {
    return real == DType::bf16 ? view(working_, info(name), DType::bf16) : value(name);
  }

  // The same on the host: the memory itself where that is the host's, else a mirror that to_host() fills and
  // to_machine() carries back.
  Tensor host_value(std::string_view name) const { return view(values_.on_host(), info(name), dtype_); }
  Tensor host_gradient(std::string_view name) const { return view(gradients_.on_host(), info(name), dtype_); }
  Tensor host_moment(int range, std::string_view name) const {
    return view(moments_[static_cast<std::size_t>(range)].on_host(), info(name), dtype_);
  }
  enum class Part : std::uint8_t { values, gradients, moments };
  void to_host(Part part) const;
  /// Carries the mirror to the machine; of the values also their rounded copy.
  void to_machine(Part part) const;

  /// Whole ranges, alignment gaps (zeros) included: [elements()].
  std::int64_t elements() const { return elements_; }
  std::int64_t decaying_elements() const { return decaying_; }
  Tensor values() const { return range(values_.memory, dtype_); }
  Tensor gradients() const { return range(gradients_.memory, dtype_); }
  Tensor moments(int index) const { return range(moments_[static_cast<std::size_t>(index)].memory, dtype_); }
  /// The values in bf16; absent where nothing computes in bf16.
  Tensor working() const { return range(working_, DType::bf16); }
  int moment_ranges() const { return static_cast<int>(moments_.size()); }
  const Machine& machine() const { return machine_; }

  /// Trained numbers, padding left out.
  std::int64_t trained() const;
  std::size_t bytes() const;

 private:
  /// A range of all parameters, and on machines with memory of their own a mirror of it, made when first asked for.
  struct Range {
    Buffer memory;
    mutable Buffer mirror;
    const Buffer& on_host() const { return mirror ? mirror : memory; }
  };
  Tensor view(const Buffer& buffer, const ParameterInfo& info, DType dtype) const;
  Tensor range(const Buffer& buffer, DType dtype) const;
  template <class Visit>
  void each(Part part, Visit&& visit) const;
  void make_mirror(const Range& range) const;

  DType dtype_;
  Machine machine_ = DeviceKind::cpu;
  std::vector<ParameterInfo> parameters_;
  std::map<std::string, std::size_t, std::less<>> index_;  ///< of parameters_ by name: looked up by every launch
  std::int64_t elements_ = 0, decaying_ = 0;
  Range values_, gradients_;
  std::vector<Range> moments_;
  Buffer working_;
};

}  // namespace isoloss
