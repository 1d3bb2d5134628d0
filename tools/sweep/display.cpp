#include "tools/sweep/display.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tools/common/program.h"

namespace isoloss {

namespace {

constexpr double kRedrawSeconds = 0.2;

/// Text with the number of columns it takes on the screen.
struct Piece {
  std::string text;
  std::size_t width = 0;
};

std::size_t columns(std::string_view text) {  // one per code point: right for all but wide and combining letters
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const Piece& piece, std::size_t width) {
  return piece.text + std::string(width > piece.width ? width - piece.width : 0, ' ');
}

Piece sign(const Task& task, bool colour) {
  const auto painted = [colour](const char* text, const char* code) {
    return Piece{colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text, 1};
  };
  if (!task.asked && !task.over()) return painted("-", "2");
  switch (task.state) {
    case TaskState::waiting:
      return painted("·", "2");
    case TaskState::running:
      return painted("▸", "36");
    case TaskState::kept:
    case TaskState::finished:
      return painted("✓", "32");
    case TaskState::diverged:
      return painted("✗", "2");
    case TaskState::failed:
      return painted("✗", "31");
  }
  return {};
}

/// Signs of the search while it lasts, then of the seeds; percent of what runs; mean loss of what is done.
Piece cell_piece(const Board& board, std::size_t cell, bool colour) {
  const bool searching = !board.learning_rate(cell);
  Piece piece;
  const auto add = [&piece](const Piece& more) {
    piece.text += more.text;
    piece.width += more.width;
  };
  if (searching) add({"lr ", 3});
  double done = 0, total = 0, loss = 0;
  int running = 0, losses = 0;
  for (const Task& task : board.tasks()) {
    if (task.cell != cell || task.candidate != searching) continue;
    add(sign(task, colour));
    if (task.state == TaskState::running) {
      ++running;
      done += static_cast<double>(task.steps);
      total += static_cast<double>(task.run->configuration.run.run.steps);
    } else if (task.done() && task.val_loss) {
      ++losses;
      loss += *task.val_loss;
    }
  }
  if (running > 0) {
    const std::string percent = fmt::format(" {:2.0f} %", 100 * done / total);
    add({percent, percent.size()});
  }
  if (losses > 0 && !searching) {
    const std::string mean = fmt::format(" {:.3f}", loss / losses);
    add({mean, mean.size()});
  }
  return piece;
}

int screen(unsigned short winsize::*side, int otherwise) {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.*side > 0 ? size.*side : otherwise;
}

}  // namespace

std::string table_text(const Board& board, bool colour) {
  const Suite& suite = board.plan().suite;
  std::vector<std::vector<Piece>> rows(suite.variants.size() + 1);
  rows[0].push_back({"", 0});
  for (const Scale& scale : suite.scales) rows[0].push_back({scale.name, columns(scale.name)});
  for (std::size_t v = 0; v < suite.variants.size(); ++v) {
    rows[v + 1].push_back({suite.variants[v].name, columns(suite.variants[v].name)});
  }
  for (std::size_t cell = 0; cell < board.plan().cells.size(); ++cell) {
    rows[board.plan().cells[cell].variant + 1].push_back(cell_piece(board, cell, colour));
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      std::size_t width = 0;
      for (const auto& other : rows) width = std::max(width, other[column].width);
      text += column + 1 < row.size() ? padded(row[column], width + 3) : row[column].text;
    }
    text += '\n';
  }
  return text;
}

std::string count_text(const Board& board) {
  std::size_t over = 0, all = 0;
  for (const Task& task : board.tasks()) {
    if (!task.asked) continue;
    ++all;
    over += task.over() ? 1 : 0;
  }
  return fmt::format("{} of {} runs", over, all);
}

Display::Display(const Board& board) : board_(board), start_(now_seconds()), work_at_start_(board.work_done()) {}
Display::~Display() { finish(); }

std::string Display::time_left() const {
  const double done = board_.work_done() - work_at_start_, left = board_.work_total() - board_.work_done();
  if (!(done > 0) || !(left > 0)) return {};
  return ", " + duration_text((now_seconds() - start_) * left / done) + " left";
}

void Display::erase() {
  if (drawn_ > 0) write_message(fmt::format("\x1b[{}F\x1b[J", drawn_));
  drawn_ = 0;
}

void Display::update() {
  if (finished_ || quiet() || !stderr_is_terminal() || now_seconds() - last_ < kRedrawSeconds) return;
  last_ = now_seconds();
  std::string text = table_text(board_, stderr_has_colour());
  // A table higher than the screen could not be redrawn in place; the bar alone always can.
  if (std::ranges::count(text, '\n') + 2 > screen(&winsize::ws_row, 24)) text.clear();
  const double total = board_.work_total();
  const double fraction = total > 0 ? board_.work_done() / total : 1;
  text += fmt::format("{} {:5.1f}%  {}{}\n", progress_bar(fraction), 100 * fraction, count_text(board_), time_left());
  erase();
  write_message(fmt::format("\x1b[?7l{}\x1b[?7h", text));  // no line wrap: one line stays one line to move up by
  drawn_ = static_cast<int>(std::ranges::count(text, '\n'));
}

void Display::ended(const Task& task, double seconds) {
  const std::string name = board_.name(task).generic_string();
  const bool failed = task.state == TaskState::failed;
  if (!failed && stderr_is_terminal()) return;  // the table shows it
  erase();
  if (failed) {
    warn(fmt::format("{} failed: {}", name, task.error));
  } else {
    const std::string loss = task.val_loss ? fmt::format("val_loss {:.4f}", *task.val_loss) : std::string("diverged");
    say(fmt::format("{}  {}  {}  ({}{})", name, loss, duration_text(seconds), count_text(board_), time_left()));
  }
  last_ = -1e9;
}

void Display::warning(std::string_view text) {
  erase();
  warn(text);
  last_ = -1e9;
}

void Display::finish() {
  if (finished_) return;
  erase();
  if (!quiet() && stderr_is_terminal()) write_message(table_text(board_, stderr_has_colour()));
  finished_ = true;
}

}  // namespace isoloss
