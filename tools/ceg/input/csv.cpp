#include "tools/ceg/input/csv.h"

#include "kernels/base/error.h"

namespace isoloss::ceg {
namespace {
constexpr std::size_t kLongestCell = std::size_t{1} << 20;
constexpr std::size_t kMostCells = std::size_t{1} << 16;
}  // namespace

CsvReader::CsvReader(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {
  if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
}

std::string CsvReader::cell() {
  const std::size_t first_line = line_;
  std::string value;
  const auto append = [&](char c) {
    if (c == '\0') fail_input(where(line_), "text", "a NUL byte");
    if (value.size() >= kLongestCell) fail_input(where(first_line), "a cell of at most 1 MiB", "a longer one");
    value += c;
  };
  if (at_ < text_.size() && text_[at_] == '"') {
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) fail_input(where(first_line), "a closing quote", "the end of the file");
      const char c = text_[at_];
      if (c == '"') {
        if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
          append('"'), ++at_;
          continue;
        }
        ++at_;
        break;
      }
      if (c == '\n') ++line_;
      append(c);
    }
    if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') {
      fail_input(where(line_), "a comma or line end after a closing quote", "more text");
    }
    return value;
  }
  for (; at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r'; ++at_) {
    if (text_[at_] == '"') fail_input(where(line_), "quotes around the whole cell", "a quote inside it");
    append(text_[at_]);
  }
  return value;
}

bool CsvReader::next(CsvRow& row) {
  while (at_ < text_.size()) {
    row.line = line_;
    row.cells.clear();
    for (;;) {
      if (row.cells.size() >= kMostCells) fail_input(where(line_), "at most 65,536 cells in a row", "more");
      row.cells.push_back(cell());
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        continue;
      }
      break;
    }
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++line_;
    if (row.cells.size() > 1 || !row.cells[0].empty()) return true;
  }
  return false;
}

}  // namespace isoloss::ceg
