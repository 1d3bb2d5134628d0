// What a person sees while a sweep runs: on a terminal a table of variants and scales that redraws itself, with a bar
// and the time left under it; elsewhere one line for every run that ends.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tools/sweep/board.h"

namespace isoloss {

class Display {
 public:
  explicit Display(const Board& board);
  ~Display();
  Display(const Display&) = delete;
  Display& operator=(const Display&) = delete;

  /// Redraws a few times a second at most.
  void update();
  /// Says that a task has ended, in one line that stays.
  void ended(const Task& task, double seconds);
  /// A warning above the table.
  void warning(std::string_view text);
  /// Removes the table, for good.
  void finish();

 private:
  void erase();
  std::string time_left() const;

  const Board& board_;
  double start_, work_at_start_;
  double last_ = -1e9;
  int drawn_ = 0;  ///< lines on the screen
  bool finished_ = false;
};

/// The table: a row per variant, a column per scale, in each cell a sign per seed, the share of the running ones that
/// is done and the mean final loss so far. Lines end with '\n'.
std::string table_text(const Board& board, bool colour);

/// "12 of 24 runs", counting the searches' runs too.
std::string count_text(const Board& board);

}  // namespace isoloss
