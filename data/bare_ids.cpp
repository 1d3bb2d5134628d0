#include "data/bare_ids.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>

namespace isoloss {

namespace {
constexpr std::size_t kMany = 16;     // places that agree by chance once in 2^16 files, or less often
constexpr std::uint32_t kSmall = 31;  // largest value of the upper part of an id, in 32 bits (below 2^21) or in 16

template <class T>
T value_at(std::string_view bytes, std::size_t place) {
  T value;
  std::memcpy(&value, bytes.data() + place * sizeof value, sizeof value);
  return value;
}

constexpr std::uint16_t swapped(std::uint16_t value) { return static_cast<std::uint16_t>(value << 8 | value >> 8); }

/// True when of two neighbouring parts the one at `upper` (0 or 1) is always as small as the upper half of an id, while
/// the other is larger than all of them many times. The parts of real uint16 ids are alike, so one of them is not small
/// for long: the first place that is not ends the search.
template <class Part>
bool holds_upper_parts(std::size_t places, std::size_t upper, Part part) {
  std::uint32_t largest = 0;
  for (std::size_t i = upper; i < places; i += 2) {
    largest = std::max<std::uint32_t>(largest, part(i));
    if (largest > kSmall) return false;
  }
  std::size_t larger = 0;
  for (std::size_t i = 1 - upper; i < places && larger < kMany; i += 2) larger += part(i) > largest;
  return larger == kMany;
}

/// Read as uint16 every second id of wider ones is 0, and the loss looks splendid.
std::string wide_ids(std::string_view bytes) {
  const std::size_t places = bytes.size() / 4 * 2;
  const auto half = [&](std::size_t i) { return value_at<std::uint16_t>(bytes, i); };
  const bool little = holds_upper_parts(places, 1, half);
  if (!little && !holds_upper_parts(places, 0, [&](std::size_t i) { return swapped(half(i)); })) return {};
  bool eight_bytes = bytes.size() % 8 == 0;
  for (std::size_t i = little ? 2 : 0; eight_bytes && i < places; i += 4) {
    eight_bytes = half(i) == 0 && half(i + 1) == 0;
  }
  return fmt::format("{}-bit {}ids", eight_bytes ? 64 : 32, little ? "" : "big-endian ");
}

struct FloatFormat {
  std::string_view name;
  std::size_t bytes;
  int fraction_bits, bias;
};
// Narrower formats would take the halves of wider ones.
constexpr FloatFormat kFloats[] = {
    {"float64", 8, 52, 1023}, {"float32", 4, 23, 127}, {"bfloat16", 2, 7, 127}, {"float16", 2, 10, 15}};

/// Whether `bits` are a whole number from 0 to 2^32 in this format.
bool is_whole(const FloatFormat& format, std::uint64_t bits) {
  if (bits == 0) return true;
  const auto exponent = static_cast<std::int64_t>(bits >> format.fraction_bits) - format.bias;  // large with a sign
  if (exponent < 0 || exponent > std::min(format.bias, 31)) return false;
  const std::int64_t behind_the_point = format.fraction_bits - exponent;
  return behind_the_point <= 0 || (bits & ((std::uint64_t{1} << behind_the_point) - 1)) == 0;
}

bool holds_floats(const FloatFormat& format, std::string_view bytes) {
  std::size_t not_zero = 0;
  for (std::size_t place = 0; place + format.bytes <= bytes.size(); place += format.bytes) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, bytes.data() + place, format.bytes);
    if (!is_whole(format, bits)) return false;
    not_zero += bits != 0 ? 1 : 0;
  }
  return not_zero >= kMany;
}

/// True when the lower and the upper bytes of the ids are drawn from the same values equally often, as those of ids of
/// one byte are. The upper bytes of uint16 ids stay below a 256th of the vocabulary and prefer some values, the lower
/// ones are spread over all. Ids spread evenly over the whole 16 bits could be either; they count as uint16.
bool holds_single_bytes(std::string_view bytes) {
  constexpr std::size_t fewest = 4096, enough = std::size_t{1} << 20;
  const std::size_t ids = std::min(bytes.size() / 2, enough);
  if (ids < fewest) return false;
  std::array<double, 256> lower{}, upper{};
  for (std::size_t i = 0; i < ids; ++i) {
    ++lower[static_cast<unsigned char>(bytes[2 * i])];
    ++upper[static_cast<unsigned char>(bytes[2 * i + 1])];
  }
  double difference = 0, pairs = 0;  // chi-squared of two samples, and pairs of equal lower bytes
  int values = 0;
  for (std::size_t value = 0; value < lower.size(); ++value) {
    const double both = lower[value] + upper[value], gap = lower[value] - upper[value];
    if (both > 0) ++values, difference += gap * gap / both;
    pairs += lower[value] * (lower[value] - 1);
  }
  const auto count = static_cast<double>(ids);
  const double unevenness = 256 * pairs / (count * (count - 1));  // 1 where all values are equally frequent
  // Neighbours in text depend on each other, which about doubles chi-squared; real uint16 ids have it near their
  // number.
  return values > 1 && unevenness > 1.15 && difference < 2 * values + 50;
}
}  // namespace

std::string other_than_uint16(std::string_view bytes) {
  const auto* floats =
      std::ranges::find_if(kFloats, [&](const FloatFormat& format) { return holds_floats(format, bytes); });
  if (floats != std::end(kFloats)) return fmt::format("{} numbers", floats->name);
  if (std::string wide = wide_ids(bytes); !wide.empty()) return wide;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])); };
  if (holds_upper_parts(bytes.size() / 2 * 2, 0, byte)) return "16-bit big-endian ids";
  return holds_single_bytes(bytes) ? "8-bit ids" : "";
}

std::string explain_large_ids(std::span<const std::uint16_t> ids, std::uint64_t vocabulary) {
  if (std::ranges::all_of(ids, [&](std::uint16_t id) { return swapped(id) < vocabulary; }))
    return "16-bit big-endian ids";
  const bool bytes =
      std::ranges::all_of(ids, [&](std::uint16_t id) { return (id & 0xff) < vocabulary && (id >> 8) < vocabulary; });
  return bytes && vocabulary <= 256 ? "8-bit ids" : "";
}

}  // namespace isoloss
