// Structure-aware fuzzing: the fuzzer's bytes choose a valid document and then a change or two deep inside it, so that
// what is read after the first check is tried, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace isoloss::fuzz {

/// The fuzzer's bytes as choices; where they are used up, the first of everything is chosen.
class Choices {
 public:
  Choices(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {}
  std::size_t below(std::size_t count);  ///< 0 for 0
  bool flag() { return below(2) == 1; }
  /// True once in `count` times, and never where the bytes are used up.
  bool rarely(std::size_t count) { return below(count) == count - 1; }
  std::string_view one_of(std::initializer_list<std::string_view> texts) { return texts.begin()[below(texts.size())]; }
  std::string_view rest() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// `valid`, which is JSON, TOML or CSV, with as many changes as `choices` says: mostly one, at times none or two. A
/// change replaces, removes, doubles, moves, wraps or cuts one value, one item of a list or one line.
struct Document {
  Document(std::string valid, Choices& choices);
  std::string text;
  bool valid = true;  ///< nothing was changed
};

/// Whether `read` ends in a value. Aborts where it ends neither in one nor in an input error of one printable line, and
/// where a valid document is refused.
bool accepted(bool valid, const std::function<void()>& read);

/// Aborts with the text unless `holds`.
void require(bool holds, std::string_view text);

/// A folder of this process, in memory where the system has room for files there; gone when the program ends.
const std::filesystem::path& scratch_folder();
/// Replaces a file, without any of the care that real ones need.
void put_file(const std::filesystem::path& path, std::string_view content);

}  // namespace isoloss::fuzz
