#include "kernels/core/op.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <stdexcept>

#include "kernels/base/error.h"

namespace isoloss {

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
    case DType::u8:
      break;
  }
  return "u8";
}

const char* name_of(DeviceKind device) {
  switch (device) {
    case DeviceKind::ref:
      return "ref";
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      break;
  }
  return "cuda";
}

std::string Shape::text() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) out += fmt::format("{}{}", i > 0 ? ", " : "", (*this)[i]);
  return out + "]";
}

std::string TensorType::text() const { return present() ? name_of(dtype) + shape.text() : "absent"; }

bool Attributes::has(std::string_view name) const {
  return std::any_of(values_.begin(), values_.end(), [&](const auto& value) { return value.first == name; });
}

double Attributes::real(std::string_view name) const {
  for (const auto& [key, value] : values_) {
    if (key == name) return value;
  }
  throw std::logic_error(fmt::format("attribute '{}' is not set", name));
}

void Attributes::set(const char* name, double value) {
  for (auto& entry : values_) {
    if (std::string_view(entry.first) == name) {
      entry.second = value;
      return;
    }
  }
  values_.emplace_back(name, value);
}

std::string Attributes::text() const {
  std::string out;
  for (const auto& [key, value] : values_) out += fmt::format("{}{}={:g}", out.empty() ? "" : " ", key, value);
  return out;
}

namespace {
template <class Ports>
int index_of(const Ports& ports, std::string_view name) {
  const auto at = std::find_if(ports.begin(), ports.end(), [&](const auto& port) { return port.name == name; });
  return at == ports.end() ? -1 : static_cast<int>(at - ports.begin());
}
}  // namespace

int OpDef::input(std::string_view port) const { return index_of(inputs, port); }
int OpDef::output(std::string_view port) const { return index_of(outputs, port); }

Launch OpDef::launcher(DeviceKind device) const {
  Launch found = launch[static_cast<std::size_t>(device)];
  if (found == nullptr && device == DeviceKind::cpu) found = launch[static_cast<std::size_t>(DeviceKind::ref)];
  if (found == nullptr) fail_input(name, fmt::format("an implementation for device {}", name_of(device)), "none");
  return found;
}

namespace {

bool fits(const AttributeDef& attribute, double value) {
  const bool whole = value == std::trunc(value) && std::abs(value) <= 0x1p53;
  switch (attribute.type) {
    case AttributeType::real:
      return true;
    case AttributeType::integer:
      return whole;
    case AttributeType::flag:
      return value == 0 || value == 1;
    case AttributeType::choice:
      break;
  }
  return whole && value >= 0 && value < attribute.choices;
}

std::string text_of(const AttributeDef& attribute) {
  switch (attribute.type) {
    case AttributeType::real:
      return "a number";
    case AttributeType::integer:
      return "a whole number";
    case AttributeType::flag:
      return "0 or 1";
    case AttributeType::choice:
      break;
  }
  return fmt::format("a whole number below {}", attribute.choices);
}

/// Backward ops know what their forward ops know; they need not be given what they do not read.
void inherit_attributes(std::vector<OpDef>& ops) {
  for (const OpDef& forward : std::vector<OpDef>(ops)) {
    for (OpDef& op : ops) {
      if (op.name != forward.gradient.op || !op.attributes.empty()) continue;
      op.attributes = forward.attributes;
      for (AttributeDef& attribute : op.attributes) attribute.standard = attribute.standard.value_or(0);
    }
  }
}

}  // namespace

void OpDef::check(const Attributes& set) const {
  for (const auto& [key, value] : set.all()) {
    const auto known =
        std::ranges::find_if(attributes, [&](const auto& own) { return std::string_view(own.name) == key; });
    if (known == attributes.end()) throw std::logic_error(fmt::format("{} knows no attribute '{}'", name, key));
    if (!fits(*known, value)) {
      throw std::logic_error(fmt::format("{}: '{}' is {}, not {:g}", name, key, text_of(*known), value));
    }
  }
  for (const AttributeDef& attribute : attributes) {
    if (!attribute.standard && !set.has(attribute.name)) {
      throw std::logic_error(fmt::format("{} needs its attribute '{}'", name, attribute.name));
    }
  }
}

#define ISOLOSS_OP(folder) std::vector<OpDef> define_##folder();
#include "kernels/ops/ops.inc"
#undef ISOLOSS_OP

const std::vector<OpDef>& all_ops() {
  static const std::vector<OpDef> ops = [] {
    std::vector<OpDef> all;
    const auto add = [&](std::vector<OpDef> defined) {
      std::move(defined.begin(), defined.end(), std::back_inserter(all));
    };
#define ISOLOSS_OP(folder) add(define_##folder());
#include "kernels/ops/ops.inc"
#undef ISOLOSS_OP
    inherit_attributes(all);
    return all;
  }();
  return ops;
}

const OpDef& find_op(std::string_view name) {
  for (const OpDef& op : all_ops()) {
    if (op.name == name) return op;
  }
  throw std::logic_error(fmt::format("there is no operation '{}'", name));
}

void expect(bool condition, std::string_view op, std::string_view expected, std::string_view got) {
  if (!condition) fail_input(op, expected, got);
}

}  // namespace isoloss
