// What all programs share on a terminal.
#include "tools/common/program.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace isoloss {

namespace {
int columns(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}
}  // namespace

TEST_CASE("a progress line fits the terminal and keeps the time left") {
  const std::string text = "step 578/600  loss 3.1688  val 3.1244  107,707 tok/s", left = "12 min 05 s left";
  for (int width = 0; width <= 200; ++width) {
    CAPTURE(width);
    const std::string line = progress_line(0.963, " 96.3%  ", text, left, width);
    const int least = 1 + 8 + 2 + static_cast<int>(left.size());  // what is never cut
    CHECK(columns(line) <= std::max(width, least));
    CHECK(line.ends_with(left));
  }
  const std::string usual = progress_line(0.963, " 96.3%  ", text, left, 79);
  CHECK(columns(usual) == 79);
  CHECK(usual.find(text) != std::string::npos);  // it is the bar that gives way first
  const std::string wide = progress_line(0.5, " 50.0%  ", text, "", 200);
  CHECK(wide.starts_with(progress_bar(0.5)));
  CHECK(columns(progress_bar(0.5)) == kBarWidth);
}

}  // namespace isoloss
