// The parts of kernels/gpu that need no GPU.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "kernels/cpu/ceilings.h"
#include "kernels/gpu/architectures.h"
#include "kernels/gpu/product_choices.h"
#include "tests/harness/files.h"

namespace isoloss::test {

TEST_CASE("architectures: machine code runs within its major version, PTX on everything later, 90a on 9.0 alone") {
  CHECK(has_code_for("80-real", 8, 0));
  CHECK(has_code_for("80-real", 8, 9));
  CHECK_FALSE(has_code_for("80-real", 9, 0));
  CHECK_FALSE(has_code_for("86-real", 8, 0));
  CHECK(has_code_for("80-virtual", 12, 0));
  CHECK_FALSE(has_code_for("90-virtual", 8, 9));
  CHECK(has_code_for("80", 8, 6));
  CHECK(has_code_for("80", 10, 0));
  CHECK(has_code_for("80-real 90a-real", 9, 0));
  CHECK(has_code_for("90a", 9, 0));
  CHECK_FALSE(has_code_for("90a", 10, 0));
  CHECK_FALSE(has_code_for("90a-real", 8, 0));
  CHECK_FALSE(has_code_for("", 9, 0));
}

TEST_CASE("architectures: what is missing is said in one sentence") {
  CHECK(why_not_usable("80 90a-real", 9, 0).empty());
  CHECK(why_not_usable("80 90a-real", 7, 5) == "expected a GPU of compute capability 8.0 or later, got 7.5");
  const std::string text = why_not_usable("80-real", 9, 0);
  CHECK(text.find("80-real") != std::string::npos);
  CHECK(text.find("-DCMAKE_CUDA_ARCHITECTURES=90") != std::string::npos);
}

TEST_CASE("product choices: the first one holds, for later readers and against later writers") {
  const TemporaryFolder folder;
  const auto file = folder / "products.txt";
  ProductChoices first(file), second(file);
  CHECK_FALSE(first.find("a").has_value());
  CHECK(first.keep("a", "1") == "1");
  CHECK_FALSE(second.find("a").has_value());  // read before it was written
  CHECK(second.keep("a", "2") == "1");        // and found when it matters
  CHECK(second.keep("b", "3") == "3");
  const ProductChoices later(file);
  CHECK(later.find("a") == "1");
  CHECK(later.find("b") == "3");
}

TEST_CASE("product choices: lines that a crash left unfinished are passed over, and do not swallow the next") {
  const TemporaryFolder folder;
  const auto file = folder / "products.txt";
  std::ofstream(file) << "a\t1\t.\n\nb\t22";  // b's line was cut
  ProductChoices choices(file);
  CHECK(choices.find("a") == "1");
  CHECK_FALSE(choices.find("b").has_value());
  CHECK(choices.keep("b", "4") == "4");
  CHECK(ProductChoices(file).find("b") == "4");
}

TEST_CASE("product choices: where nothing can be kept, nothing is promised") {
  ProductChoices choices("/proc/isoloss/products.txt");
  CHECK_FALSE(choices.keep("a", "1").has_value());
  CHECK_FALSE(choices.find("a").has_value());
}

}  // namespace isoloss::test
