// The safetensors format: an 8-byte little-endian header length, a JSON header {name: {dtype, shape, data_offsets}},
// then the values of all tensors, back to back. Files are hostile until read: every field is checked before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/checksum.h"
#include "kernels/base/file.h"
#include "kernels/core/tensor.h"

namespace isoloss {

/// Element types that a file may hold; a superset of DType, since foreign files carry masks and half precision.
enum class StoredType : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64
};
std::size_t bytes_of(StoredType type);
std::string_view name_of(StoredType type);  ///< as in the file: "F32", "BF16", …
StoredType stored_type(DType dtype);

/// One tensor of a file. The view lives as long as the file object and need not be aligned.
struct StoredTensor {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;

  std::int64_t count() const { return static_cast<std::int64_t>(bytes.size() / bytes_of(type)); }
  std::string text() const;  ///< "F32[768, 2304]"
};

/// What a safetensors file says, checked: header length in range and at most 100 MB, no name twice, known dtypes, shape
/// times element size equal to the bytes, offsets that cover the data exactly once without gap or overlap.
struct SafetensorsContent {
  std::vector<StoredTensor> tensors;  ///< in the order of their offsets
  std::map<std::string, std::string> metadata;
};

/// Reads `file`, which must outlive the result. `where` (the path) begins every input error.
SafetensorsContent parse_safetensors(std::span<const std::byte> file, std::string_view where);

/// A file on disk, memory-mapped.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return content_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }
  const StoredTensor* find(std::string_view name) const;  ///< null when there is no such tensor
  /// The tensor `name` with exactly this shape; anything else is an input error that names file and tensor.
  const StoredTensor& at(std::string_view name, const std::vector<std::int64_t>& shape) const;

 private:
  std::filesystem::path path_;
  MappedFile file_;
  SafetensorsContent content_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// Copies the values, converting F16, BF16, F32 and F64 to the wanted type (rounded to nearest even where it is
/// narrower); equal types are copied bit for bit. `values.size()` must be `tensor.count()`; any other element type is
/// an input error at `where`.
void read_values(const StoredTensor& tensor, std::span<float> values, std::string_view where);
void read_values(const StoredTensor& tensor, std::span<double> values, std::string_view where);

/// A tensor to write: `data` points to row-major values in host memory.
struct NamedTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
};

/// Writes the file atomically. The bytes depend on names, types, shapes, values and metadata only: tensors are ordered
/// by falling element size (so that all are aligned), then by name. Two tensors of one name are a caller's mistake
/// and throw a run error.
FileDigest write_safetensors(const std::filesystem::path& path, std::vector<NamedTensor> tensors,
                             const std::map<std::string, std::string>& metadata = {});

}  // namespace isoloss
