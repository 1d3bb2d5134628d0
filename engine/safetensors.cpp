#include "engine/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "kernels/base/error.h"
#include "kernels/base/json_text.h"

namespace isoloss {

namespace {

constexpr std::uint64_t kLongestHeader = 100'000'000;  // the format's own limit

struct TypeInfo {
  StoredType type;
  std::string_view name;
  std::size_t bytes;
};

constexpr std::array kTypes = {TypeInfo{StoredType::boolean, "BOOL", 1},    TypeInfo{StoredType::u8, "U8", 1},
                               TypeInfo{StoredType::i8, "I8", 1},           TypeInfo{StoredType::f8_e5m2, "F8_E5M2", 1},
                               TypeInfo{StoredType::f8_e4m3, "F8_E4M3", 1}, TypeInfo{StoredType::i16, "I16", 2},
                               TypeInfo{StoredType::u16, "U16", 2},         TypeInfo{StoredType::f16, "F16", 2},
                               TypeInfo{StoredType::bf16, "BF16", 2},       TypeInfo{StoredType::i32, "I32", 4},
                               TypeInfo{StoredType::u32, "U32", 4},         TypeInfo{StoredType::f32, "F32", 4},
                               TypeInfo{StoredType::f64, "F64", 8},         TypeInfo{StoredType::i64, "I64", 8},
                               TypeInfo{StoredType::u64, "U64", 8}};

const TypeInfo& info_of(StoredType type) { return kTypes[static_cast<std::size_t>(type)]; }

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

/// Names come from the file: long ones are cut, so that the one line of an error stays readable.
std::string shown(std::string_view name) {
  constexpr std::size_t kLongest = 100;
  return name.size() <= kLongest ? std::string(name) : std::string(name.substr(0, kLongest)) + "…";
}

/// Parses while watching what nlohmann's tree would swallow: a tensor that stands in the header twice.
nlohmann::json parse_header(std::string_view text, std::string_view where) {
  std::set<std::string> names;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    // A header is three levels deep; a nested bomb is cut off here instead of growing a tree.
    if (depth > 3) fail_input(where, "a header of tensors", "deeper nesting");
    if (depth == 1 && event == nlohmann::json::parse_event_t::key && !names.insert(parsed).second) {
      fail_input(where, "each tensor once", fmt::format("{} twice", shown(parsed.get<std::string>())));
    }
    return true;
  };
  nlohmann::json header = parse_json(text, where, "a JSON object as header", watch);
  if (!header.is_object()) fail_input(where, "a JSON object as header", "something else");
  return header;
}

/// One header entry. `data` are the bytes after the header.
StoredTensor parse_tensor(const std::string& name, const nlohmann::json& entry, std::span<const std::byte> data,
                          std::string_view file) {
  const std::string where = fmt::format("{} {}", file, shown(name));
  const auto part = [&](const char* key) -> const nlohmann::json& {
    const auto found = entry.is_object() ? entry.find(key) : entry.end();
    if (!entry.is_object() || found == entry.end()) fail_input(where, fmt::format("the field {}", key), "none");
    return *found;
  };
  StoredTensor tensor;
  tensor.name = name;

  const nlohmann::json& dtype = part("dtype");
  const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& candidate) {
    return dtype.is_string() && dtype.get_ref<const std::string&>() == candidate.name;
  });
  if (type == kTypes.end()) {
    fail_input(where, "a known dtype", dtype.is_string() ? shown(dtype.get<std::string>()) : "something else");
  }
  tensor.type = type->type;

  const nlohmann::json& shape = part("shape");
  if (!shape.is_array()) fail_input(where, "a shape", "something else");
  // No dimension and no product beyond the file: so products of checked factors cannot overflow. A tensor without
  // elements takes no room, however large its other dimensions are.
  const bool empty =
      std::any_of(shape.begin(), shape.end(), [](const nlohmann::json& element) { return element == 0; });
  const std::uint64_t largest = empty ? std::numeric_limits<std::int64_t>::max() : data.size();
  std::uint64_t count = empty ? 0 : 1;
  for (const nlohmann::json& element : shape) {
    const std::optional<std::uint64_t> dimension = integer_in<std::uint64_t>(element);
    if (!dimension || *dimension > largest) {
      fail_input(where, "dimensions that the file can hold",
                 dimension ? fmt::format("{}", *dimension) : "another type");
    }
    if (!empty && count > largest / *dimension) fail_input(where, "a shape that the file can hold", "a larger one");
    count *= *dimension;
    tensor.shape.push_back(static_cast<std::int64_t>(*dimension));
  }

  const nlohmann::json& offsets = part("data_offsets");
  const bool is_pair = offsets.is_array() && offsets.size() == 2;
  const std::optional<std::uint64_t> begin = is_pair ? integer_in<std::uint64_t>(offsets[0]) : std::nullopt;
  const std::optional<std::uint64_t> end = is_pair ? integer_in<std::uint64_t>(offsets[1]) : std::nullopt;
  if (!begin || !end || *begin > *end || *end > data.size()) {
    fail_input(where, fmt::format("data_offsets [begin, end] inside the {} bytes of data", data.size()),
               begin && end ? fmt::format("[{}, {}]", *begin, *end) : "something else");
  }
  if (*end - *begin != count * type->bytes) {
    fail_input(where, fmt::format("{} bytes for {}{}", count * type->bytes, type->name, shape_text(tensor.shape)),
               fmt::format("{}", *end - *begin));
  }
  tensor.bytes = data.subspan(*begin, *end - *begin);
  return tensor;
}

float half_to_float(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const float sign = (half & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) {  // infinity, or NaN with its payload
    return std::bit_cast<float>(static_cast<std::uint32_t>(half & 0x8000) << 16 | 0x7f800000u |
                                static_cast<std::uint32_t>(fraction) << 13);
  }
  return sign * std::ldexp(static_cast<float>(exponent == 0 ? fraction : fraction + 1024),
                           (exponent == 0 ? 1 : exponent) - 25);
}

template <class Stored, class Value, class Convert>
void convert(const StoredTensor& tensor, std::span<Value> values, Convert converted) {
  const std::byte* source = tensor.bytes.data();
  for (Value& value : values) {
    Stored stored;
    std::memcpy(&stored, source, sizeof stored);
    source += sizeof stored;
    value = static_cast<Value>(converted(stored));
  }
}

template <class Value>
void read_as(const StoredTensor& tensor, std::span<Value> values, std::string_view where) {
  if (static_cast<std::size_t>(tensor.count()) != values.size()) {
    fail_input(fmt::format("{} {}", where, shown(tensor.name)), fmt::format("{} values", values.size()), tensor.text());
  }
  if (values.empty()) return;
  const auto same = [](auto stored) { return stored; };
  switch (tensor.type) {
    case StoredType::f32:
      if constexpr (std::is_same_v<Value, float>) {
        std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
      } else {
        convert<float>(tensor, values, same);
      }
      return;
    case StoredType::f64:
      convert<double>(tensor, values, same);
      return;
    case StoredType::bf16:
      convert<std::uint16_t>(tensor, values, [](std::uint16_t stored) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(stored) << 16);
      });
      return;
    case StoredType::f16:
      convert<std::uint16_t>(tensor, values, half_to_float);
      return;
    default:
      fail_input(fmt::format("{} {}", where, shown(tensor.name)), "F16, BF16, F32 or F64 values", name_of(tensor.type));
  }
}

}  // namespace

std::size_t bytes_of(StoredType type) { return info_of(type).bytes; }
std::string_view name_of(StoredType type) { return info_of(type).name; }

StoredType stored_type(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return StoredType::f64;
    case DType::bf16:
      return StoredType::bf16;
    case DType::i32:
      return StoredType::i32;
    case DType::u8:
      return StoredType::u8;
    case DType::f32:
      break;
  }
  return StoredType::f32;
}

std::string StoredTensor::text() const { return fmt::format("{}{}", name_of(type), shape_text(shape)); }

SafetensorsContent parse_safetensors(std::span<const std::byte> file, std::string_view where) {
  std::uint64_t length = 0;
  if (file.size() < sizeof length) {
    fail_input(where, "a safetensors file", fmt::format("only {} bytes", file.size()));
  }
  std::memcpy(&length, file.data(), sizeof length);
  if (length > kLongestHeader) {
    fail_input(where, "a safetensors header of at most 100 MB", fmt::format("one of {} bytes", length));
  }
  if (length > file.size() - sizeof length) {
    fail_input(where, fmt::format("a header of {} bytes", length),
               fmt::format("a file of {} bytes, truncated or no safetensors file", file.size()));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + sizeof length, length);
  const std::span<const std::byte> data = file.subspan(sizeof length + length);

  SafetensorsContent content;
  const nlohmann::json header = parse_header(text, where);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail_input(where, "texts in __metadata__", "something else");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail_input(where, "texts in __metadata__", "something else");
        content.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    content.tensors.push_back(parse_tensor(name, entry, data, where));
  }

  std::sort(content.tensors.begin(), content.tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    // Empty tensors come before the one that begins where they stand.
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  const std::byte* next = data.data();
  for (const StoredTensor& tensor : content.tensors) {
    if (tensor.bytes.data() != next) {
      fail_input(fmt::format("{} {}", where, shown(tensor.name)),
                 fmt::format("data from offset {}, where the tensor before it ends", next - data.data()),
                 fmt::format("{}", tensor.bytes.data() - data.data()));
    }
    next += tensor.bytes.size();
  }
  if (next != data.data() + data.size()) {
    fail_input(where, fmt::format("{} bytes of data", next - data.data()), fmt::format("{}", data.size()));
  }
  return content;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), file_(path), content_(parse_safetensors(file_.bytes(), path.string())) {
  for (std::size_t i = 0; i < content_.tensors.size(); ++i) index_[content_.tensors[i].name] = i;
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &content_.tensors[found->second];
}

const StoredTensor& SafetensorsFile::at(std::string_view name, const std::vector<std::int64_t>& shape) const {
  const StoredTensor* tensor = find(name);
  const std::string where = fmt::format("{} {}", path_.string(), name);
  if (tensor == nullptr) fail_input(where, "a tensor of this name", "none");
  if (tensor->shape != shape) fail_input(where, "the shape " + shape_text(shape), shape_text(tensor->shape));
  return *tensor;
}

void read_values(const StoredTensor& tensor, std::span<float> values, std::string_view where) {
  read_as(tensor, values, where);
}

void read_values(const StoredTensor& tensor, std::span<double> values, std::string_view where) {
  read_as(tensor, values, where);
}

FileDigest write_safetensors(const std::filesystem::path& path, std::vector<NamedTensor> tensors,
                             const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const NamedTensor& a, const NamedTensor& b) {
    return std::pair(bytes_of(b.dtype), std::string_view(a.name)) <
           std::pair(bytes_of(a.dtype), std::string_view(b.name));
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::vector<std::size_t> sizes;
  std::uint64_t offset = 0;
  std::set<std::string_view> names;
  for (const NamedTensor& tensor : tensors) {
    if (!names.insert(tensor.name).second) fail_run(path.string(), "each tensor once", tensor.name + " twice");
    std::size_t bytes = bytes_of(tensor.dtype);
    for (const std::int64_t dimension : tensor.shape) bytes *= static_cast<std::size_t>(dimension);
    header[tensor.name] = {{"dtype", name_of(stored_type(tensor.dtype))},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + bytes}}};
    sizes.push_back(bytes);
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins on a multiple of 8

  AtomicFile file(path);
  Xxh64 checksum;
  FileDigest digest;
  const auto write = [&](const void* data, std::size_t bytes) {
    file.write(data, bytes);
    checksum.update(data, bytes);
    digest.bytes += bytes;
  };
  const std::uint64_t length = text.size();
  write(&length, sizeof length);
  write(text.data(), text.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    // In pieces, because a file gathers what it is given before it passes it on.
    constexpr std::size_t kPiece = 1 << 20;
    const auto* bytes = static_cast<const std::byte*>(tensors[i].data);
    for (std::size_t done = 0; done < sizes[i]; done += kPiece) {
      write(bytes + done, std::min(kPiece, sizes[i] - done));
    }
  }
  file.commit();
  digest.checksum = checksum.value();
  return digest;
}

}  // namespace isoloss
