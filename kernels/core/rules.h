// What the shape rules and cost functions of most operations say in the same words.
#pragma once

#include <string>

#include "kernels/core/op.h"

namespace isoloss {

/// bf16 is for the cuda device; `ref` and `cpu` compute in f32, `ref` also in f64.
inline bool is_real(const TensorType& type) {
  return type.present() && (type.dtype == DType::f32 || type.dtype == DType::f64 || type.dtype == DType::bf16);
}

/// The dtype of what is summed or saved beside activations of `dtype` (row statistics, losses, parameter gradients):
/// float32 where the activations are bf16, else the same.
constexpr DType wide(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }
inline TensorType wide(const TensorType& type) { return {wide(type.dtype), type.shape}; }

/// `[op] expected <port> a real tensor of rank at least <rank>, got …`.
inline void expect_real(std::string_view op, std::string_view port, const TensorType& type, int rank = 1) {
  expect(is_real(type) && type.shape.rank() >= rank, op,
         std::string(port) + " a real tensor of rank at least " + std::to_string(rank), type.text());
}

/// `[op] expected <port> <wanted>, got …`.
inline void expect_type(std::string_view op, std::string_view port, const TensorType& type, const TensorType& wanted) {
  expect(type == wanted, op, std::string(port) + " " + wanted.text(), type.text());
}

/// The same for an optional port: absent is fine.
inline void expect_type_or_absent(std::string_view op, std::string_view port, const TensorType& type,
                                  const TensorType& wanted) {
  if (type.present()) expect_type(op, port, type, wanted);
}

/// The attribute decay_count of an optimizer lies in [0, count].
inline void expect_decay_count(std::string_view op, const Attributes& attributes, std::int64_t count) {
  const std::int64_t decaying = attributes.integer("decay_count");
  expect(decaying >= 0 && decaying <= count, op, "decay_count from 0 to " + std::to_string(count),
         std::to_string(decaying));
}

/// The attribute rate_factor of an optimizer, by which it multiplies the step's learning rate.
inline double rate_factor(const Attributes& attributes) {
  return attributes.has("rate_factor") ? attributes.real("rate_factor") : 1.0;
}

/// The rounded copy of the parameters, which exists where the attribute `working` says so.
inline TensorType working_type(const OpTypes& types) {
  if (!types.attributes.flag("working")) return {};
  return {DType::bf16, types.in[0].shape};
}

/// Every present input read once, every wanted output written once (and read, where it is added to).
inline double operand_bytes(const OpTypes& types, std::span<const Mode> mode) {
  double bytes = 0;
  for (const TensorType& type : types.in) bytes += static_cast<double>(type.bytes());
  for (std::size_t o = 0; o < types.out.size(); ++o) {
    const double passes = mode[o] == Mode::skip ? 0 : mode[o] == Mode::accumulate ? 2 : 1;
    bytes += passes * static_cast<double>(types.out[o].bytes());
  }
  return bytes;
}

/// The cost of an operation without matrix products: `flops_per_element` for each element of its first input.
inline Cost elementwise_cost(const OpTypes& types, std::span<const Mode> mode, double flops_per_element) {
  return {.flops = flops_per_element * static_cast<double>(types.in[0].shape.count()),
          .matmul_flops = 0,
          .bytes = operand_bytes(types, mode)};
}

}  // namespace isoloss
