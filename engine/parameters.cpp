#include "engine/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"

namespace isoloss {

namespace {
constexpr std::int64_t kAlignElements = 16;  // every parameter starts on a 64-byte line

std::int64_t aligned(std::int64_t elements) {
  return (elements + kAlignElements - 1) / kAlignElements * kAlignElements;
}

/// Elements 2·pair and 2·pair + 1 of a parameter, by Box and Muller from one Philox block.
template <class T>
void fill_normal(T* out, std::int64_t count, std::uint64_t key, double std) {
  parallel_for((count + 1) / 2, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t pair = begin; pair < end; ++pair) {
      const PhiloxBlock draw = philox(key, 0, static_cast<std::uint64_t>(pair));
      const double u = (static_cast<double>(draw[0]) + 1.0) * 0x1.0p-32;  // (0, 1]: the logarithm is finite
      const double angle = 6.283185307179586 * static_cast<double>(draw[1]) * 0x1.0p-32;
      const double radius = std * std::sqrt(-2.0 * std::log(u));
      out[2 * pair] = static_cast<T>(radius * std::cos(angle));
      if (2 * pair + 1 < count) out[2 * pair + 1] = static_cast<T>(radius * std::sin(angle));
    }
  });
}

template <class T>
void fill(T* out, const ParameterInfo& info, std::uint64_t seed) {
  const std::int64_t used = info.used();
  switch (info.init.kind) {
    case Initialisation::Kind::zeros:
      std::fill_n(out, used, T{0});
      break;
    case Initialisation::Kind::ones:
      std::fill_n(out, used, T{1});
      break;
    case Initialisation::Kind::normal:
      fill_normal(out, used, mix(seed, hash_name(info.name)), info.init.std);
      break;
  }
  std::fill_n(out + used, info.count() - used, T{0});
}
}  // namespace

std::vector<MatrixView> matrices_of(const ParameterInfo& info) {
  const int rank = info.shape.rank();
  if (rank < 2) return {};
  const std::int64_t stride = info.shape[rank - 1];
  const std::int64_t rows = rank == 2 ? info.rows : info.shape[rank - 2];
  const std::int64_t stack = rank == 2 ? 1 : info.used() / (rows * stride);
  std::vector<std::int64_t> columns = info.role.columns;
  if (columns.empty()) columns.push_back(stride);
  std::vector<MatrixView> matrices;
  for (std::int64_t s = 0; s < stack; ++s) {
    std::int64_t at = info.offset + s * rows * stride;
    for (const std::int64_t width : columns) {
      matrices.push_back({at, rows, width, stride});
      at += width;
    }
  }
  return matrices;
}

void ParameterStore::declare(const std::string& name, const Shape& shape, Initialisation init, std::int64_t rows,
                             ParameterRole role) {
  if (!index_.emplace(name, parameters_.size()).second) {
    throw std::logic_error("parameter " + name + " declared twice");
  }
  const auto& columns = role.columns;
  const bool whole = std::accumulate(columns.begin(), columns.end(), std::int64_t{0}) == shape[-1];
  if (!columns.empty() && !(whole && std::ranges::all_of(columns, [](std::int64_t width) { return width > 0; }))) {
    throw std::logic_error("parameter " + name + " has columns that are not those of its shape");
  }
  if (!role.decays) role.decays = shape.rank() >= 2;
  parameters_.push_back({name, shape, init, rows < 0 ? shape[0] : rows, std::move(role)});
}

void ParameterStore::lay_out() {
  for (const ParameterInfo& parameter : parameters_) {
    const double factor = parameter.role.rate_factor;
    const bool known = std::ranges::any_of(groups_, [&](const auto& group) { return group.rate_factor == factor; });
    if (!known) groups_.push_back({.rate_factor = factor});
  }
  for (ParameterGroup& group : groups_) {
    group.offset = elements_;
    for (const bool decays : {true, false}) {
      for (ParameterInfo& parameter : parameters_) {
        if (parameter.decays() != decays || parameter.role.rate_factor != group.rate_factor) continue;
        parameter.offset = elements_;
        elements_ += aligned(parameter.count());
      }
      if (decays) group.decaying = elements_ - group.offset;
    }
    group.elements = elements_ - group.offset;
  }
}

void ParameterStore::allocate(bool with_gradients, const Machine& machine, DType working) {
  machine_ = machine;
  const std::size_t bytes = static_cast<std::size_t>(elements_) * bytes_of(dtype_);
  values_ = {Buffer(bytes, "parameters", machine_), {}};
  if (working == DType::bf16) {
    working_ = Buffer(static_cast<std::size_t>(elements_) * bytes_of(DType::bf16), "parameters in bf16", machine_);
  }
  if (with_gradients) gradients_ = {Buffer(bytes, "gradients", machine_), {}};
}

void ParameterStore::allocate_moments(int ranges) {
  moments_.clear();
  for (int i = 0; i < ranges; ++i) {
    const std::size_t bytes = static_cast<std::size_t>(elements_) * bytes_of(dtype_);
    moments_.push_back({Buffer(bytes, "optimizer moments", machine_), {}});
  }
}

void ParameterStore::make_mirror(const Range& range) const {
  if (!machine_.on_host() && !range.mirror) range.mirror = Buffer(range.memory.bytes(), "a copy on the host");
}

template <class Visit>
void ParameterStore::each(Part part, Visit&& visit) const {
  if (part == Part::moments) {
    for (const Range& range : moments_) visit(range);
  } else {
    visit(part == Part::values ? values_ : gradients_);
  }
}

void ParameterStore::to_host(Part part) const {
  each(part, [&](const Range& range) {
    make_mirror(range);
    if (range.mirror) machine_.to_host(range.mirror.data(), range.memory.data(), range.memory.bytes());
  });
}

void ParameterStore::to_machine(Part part) const {
  each(part, [&](const Range& range) {
    if (range.mirror) machine_.to_machine(range.memory.data(), range.mirror.data(), range.memory.bytes());
  });
  if (part == Part::values && working_) {
    const Tensor in[] = {values()}, out[] = {working()};
    machine_.run(find_op("cast"), {}, in, out, {}, {});
  }
}

void ParameterStore::initialise(std::uint64_t seed) {
  make_mirror(values_);
  for (const ParameterInfo& parameter : parameters_) {
    const Tensor tensor = host_value(parameter.name);
    if (dtype_ == DType::f64) {
      fill(tensor.as<double>(), parameter, seed);
    } else {
      fill(tensor.as<float>(), parameter, seed);
    }
  }
  to_machine(Part::values);
}

bool ParameterStore::has(std::string_view name) const { return index_.contains(name); }

const ParameterInfo& ParameterStore::info(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) throw std::logic_error(fmt::format("the model has no parameter '{}'", name));
  return parameters_[found->second];
}

Tensor ParameterStore::view(const Buffer& buffer, const ParameterInfo& info, DType dtype) const {
  if (!buffer) return {nullptr, {dtype, info.shape}};
  return {buffer.at(static_cast<std::size_t>(info.offset) * bytes_of(dtype)), {dtype, info.shape}};
}

Tensor ParameterStore::range(const Buffer& buffer, DType dtype) const { return {buffer.data(), {dtype, {elements_}}}; }

std::int64_t ParameterStore::trained() const {
  std::int64_t sum = 0;
  for (const ParameterInfo& parameter : parameters_) sum += parameter.used();
  return sum;
}

std::size_t ParameterStore::bytes() const {
  std::size_t sum = values_.memory.bytes() + gradients_.memory.bytes() + working_.bytes();
  for (const Range& moment : moments_) sum += moment.memory.bytes();
  return sum;
}

}  // namespace isoloss
