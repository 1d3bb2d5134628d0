// ParameterStore: every parameter of a model in one contiguous range, its gradients and moments in ranges of the same
// layout, so that the optimizer and the global norm are one pass over memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
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

/// What a parameter is to the optimizer and to who counts: said by the model's builder, so that nobody goes by names.
struct ParameterRole {
  std::optional<bool> decays = {};         ///< weight decay applies; unless said, to two or more dimensions
  double rate_factor = 1;                  ///< of the learning rate
  double active_share = 1;                 ///< of its numbers, those that take part in a token's matrix products
  bool is_table = false;                   ///< indexed by token or position
  std::vector<std::int64_t> columns = {};  ///< of a matrix that packs several side by side: the width of each
};

struct ParameterInfo {
  std::string name;
  Shape shape;  ///< as in memory, padding included
  Initialisation init;
  std::int64_t rows = 0;    ///< rows (first dimension) that carry meaning; the rest is padding, kept zero
  ParameterRole role = {};  ///< with `decays` filled in
  std::int64_t offset = 0;  ///< elements from the start of each range
  bool decays() const { return *role.decays; }
  std::int64_t count() const { return shape.count(); }
  std::int64_t used() const { return shape.count() / shape[0] * rows; }
};

/// A matrix inside a parameter: element (r, c) is at offset + r · stride + c of each range.
struct MatrixView {
  std::int64_t offset = 0, rows = 0, columns = 0, stride = 0;
};

/// The matrices that a parameter holds, for rules that work on whole matrices: of [in, out] one; of a stack [E, in,
/// out] E; of a packed one, such as [C, C + 2 · kv_heads · D], one for each of its role's columns; of a vector none.
/// Padded rows are left out.
std::vector<MatrixView> matrices_of(const ParameterInfo& info);

/// Parameters that an update treats alike, next to each other in every range; the first `decaying` elements decay.
struct ParameterGroup {
  std::int64_t offset = 0, elements = 0, decaying = 0;
  double rate_factor = 1;
};

class ParameterStore {
 public:
  explicit ParameterStore(DType dtype = DType::f32) : dtype_(dtype) {}

  /// Declares a parameter. `rows` < 0: all of them. Throws std::logic_error for a name that is there, and for columns
  /// that are not the shape's.
  void declare(const std::string& name, const Shape& shape, Initialisation init, std::int64_t rows = -1,
               ParameterRole role = {});
  /// Lays out the ranges, a group after the other in the order in which their rate factors were first declared, in each
  /// decaying parameters first; call once after the last declare().
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
  const std::vector<ParameterGroup>& groups() const { return groups_; }
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
  std::int64_t elements_ = 0;
  std::vector<ParameterGroup> groups_;
  Range values_, gradients_;
  std::vector<Range> moments_;
  Buffer working_;
};

}  // namespace isoloss
