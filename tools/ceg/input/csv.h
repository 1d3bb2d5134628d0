// Comma-separated values as RFC 4180 writes them: quoted cells, doubled quotes, line ends of either kind.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace isoloss::ceg {

struct CsvRow {
  std::size_t line = 0;  ///< 1-based, of the row's first character
  std::vector<std::string> cells;
};

class CsvReader {
 public:
  /// `name` stands in error lines. A UTF-8 byte order mark is passed over.
  CsvReader(std::string_view text, std::string name);

  /// The next row that is not blank; false at the end. Throws (exit 2) with file and line: a quote inside a plain cell,
  /// text after a closing quote, a quote that never closes, a NUL byte, a cell beyond 1 MiB, more than 65,536 cells.
  bool next(CsvRow& row);

  /// "FILE:LINE", for error lines about this file.
  std::string where(std::size_t line) const { return name_ + ":" + std::to_string(line); }
  const std::string& name() const { return name_; }

 private:
  std::string cell();
  std::string_view text_;
  std::string name_;
  std::size_t at_ = 0, line_ = 1;
};

}  // namespace isoloss::ceg
