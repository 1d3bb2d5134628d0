#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/architecture/quotes.h"
#include "tests/architecture/rules.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {

/// A small house that keeps every rule; each case below breaks one.
class House {
 public:
  House() {
    std::string name = (fs::temp_directory_path() / "isoloss_architecture_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    root_ = name;
    for (const char* folder : {"kernels", "data", "engine", "models", "tools", "tests"}) {
      write(fmt::format("{}/README.md", folder), "What lives here.\n");
    }
    write("kernels/base/error.h", "#include <string>\n");
    write("kernels/core/tensor.h", "#include <cstdint>\n");
    write("data/loader.h", "#include \"kernels/base/error.h\"\n");
    write("data/tokenizer.h", "\n");
    write("engine/graph.h", "#include \"kernels/core/tensor.h\"\n#include \"data/loader.h\"\n");
    write("models/spec.h", "#include \"engine/graph.h\"\n");
    write("tools/train/main.cpp", "#include \"models/spec.h\"\n#include \"data/tokenizer.h\"\n");
    write("tools/ceg/input/curves.h", "#include \"kernels/base/error.h\"\n");
    write("kernels/ops/add/add.cu", "#include <cuda_runtime.h>\n");
    write("kernels/gpu/cublaslt.cpp", "#include <cublasLt.h>\n");
  }
  ~House() { fs::remove_all(root_); }
  House(const House&) = delete;
  House& operator=(const House&) = delete;

  void write(const std::string& file, std::string_view text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  const fs::path& root() const { return root_; }

 private:
  fs::path root_;
};

bool only_complaint(const House& house, std::string_view beginning) {
  const auto broken = broken_rules(house.root());
  const bool as_expected = broken.size() == 1 && broken.front().starts_with(beginning);
  if (!as_expected) MESSAGE(fmt::format("found: {}", fmt::join(broken, "; ")));
  return as_expected;
}

}  // namespace

TEST_CASE("this project keeps its own rules") {
  REQUIRE(fs::exists("kernels/base/error.h"));  // the tests run in the root of the repository
  const auto broken = broken_rules(fs::current_path());
  for (const std::string& line : broken) MESSAGE(line);
  CHECK(broken.empty());
}

TEST_CASE("a house in order passes") { CHECK(broken_rules(House().root()).empty()); }

TEST_CASE("includes against the table are found") {
  struct Case {
    const char *file, *text, *complaint;
  };
  const Case cases[] = {
      {"kernels/core/bad.h", "#include \"engine/graph.h\"\n", "kernels/core/bad.h:1: may not include engine/graph.h"},
      {"kernels/base/bad.h", "#include \"kernels/core/tensor.h\"\n",
       "kernels/base/bad.h:1: may not include kernels/core/"},
      {"kernels/cuda/bad.cuh", "#include \"kernels/cpu/vec.h\"\n",
       "kernels/cuda/bad.cuh:1: may not include kernels/cpu/"},
      {"kernels/gpu/bad.h", "#include \"kernels/simt/race.h\"\n", "kernels/gpu/bad.h:1: may not include kernels/simt/"},
      {"kernels/cpu/bad.h", "#include \"kernels/ops/add/add.h\"\n",
       "kernels/cpu/bad.h:1: may not include kernels/ops/"},
      {"kernels/ops/add/bad.h", "#include \"simt/cuda.h\"\n", "kernels/ops/add/bad.h:1: simt/cuda.h is neither"},
      {"tools/train/bad.cpp", "#include \"models/speck.h\"\n", "tools/train/bad.cpp:1: models/speck.h is neither"},
      {"data/bad.h", "\n#include \"kernels/core/tensor.h\"\n", "data/bad.h:2: may not include kernels/core/tensor.h"},
      {"engine/bad.cpp", "#include \"data/tokenizer.h\"\n", "engine/bad.cpp:1: may not include data/tokenizer.h"},
      {"engine/bad.cpp", "  #  include <models/spec.h>\n", "engine/bad.cpp:1: may not include models/spec.h"},
      {"engine/bad.cpp", "#include \"../models/spec.h\"\n", "engine/bad.cpp:1: may not include models/spec.h"},
      {"models/bad.cpp", "#include \"tools/common/program.h\"\n", "models/bad.cpp:1: may not include tools/common"},
      {"tools/ceg/estimate/bad.h", "#include \"tools/ceg/output/output.h\"\n",
       "tools/ceg/estimate/bad.h:1: may not include tools/ceg/output/"},
      {"tools/ceg/bad.cpp", "#include \"models/spec.h\"\n", "tools/ceg/bad.cpp:1: may not include models/spec.h"},
      {"tools/train/bad.cpp", "#include \"tests/harness/case.h\"\n", "tools/train/bad.cpp:1: may not include tests/"},
      {"engine/bad.cpp", "#include <cuda_runtime.h>\n", "engine/bad.cpp:1: cuda_runtime.h belongs in"},
      {"kernels/cpu/gemm.h", "#include <cublasLt.h>\n", "kernels/cpu/gemm.h:1: cublasLt.h belongs in"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.file);
    const House house;
    house.write(c.file, c.text);
    CHECK(only_complaint(house, c.complaint));
  }
}

TEST_CASE("files over 500 lines and folders without a README are found") {
  std::string lines;
  for (int i = 0; i < 500; ++i) lines += "//\n";
  const House house;
  house.write("engine/long.cpp", lines);
  CHECK(broken_rules(house.root()).empty());
  house.write("engine/long.cpp", lines + "//\n");
  CHECK(only_complaint(house, "engine/long.cpp:501: longer than 500 lines"));

  const House silent;
  fs::remove(silent.root() / "models/README.md");
  CHECK(only_complaint(silent, "models/README.md:1: is missing"));
}

TEST_CASE("code that the documentation quotes is in the files it names") {
  for (const std::string& line : stale_quotes(fs::current_path())) FAIL_CHECK(line);
  CHECK(count_quotes(fs::current_path()) >= 10);  // of the two stories, kernels/operation.md and engine/batch.md
}

TEST_CASE("a quoted line that has changed, or changed places, is found") {
  const House house;
  house.write("engine/run.cpp", "int a;\n  int b;\nint c;\n");
  const auto with_block = [&](std::string_view block) {
    house.write("engine/story.md", fmt::format("A story.\n\nFrom `engine/run.cpp`:\n\n```cpp\n{}```\n", block));
    return stale_quotes(house.root());
  };
  CHECK(with_block("int a;\n…\n    int c;\n").empty());
  CHECK(count_quotes(house.root()) == 1);
  const auto changed = with_block("int a;\nint d;\n"), turned = with_block("int c;\n\nint a;\n");
  REQUIRE(changed.size() == 1);
  CHECK(changed.front() == "engine/story.md:7: engine/run.cpp has no `int d;` there");
  REQUIRE(turned.size() == 1);
  CHECK(turned.front() == "engine/story.md:8: engine/run.cpp has no `int a;` there");
  house.write("engine/story.md", "No quote:\n\n```\nint d;\n```\n");
  CHECK(count_quotes(house.root()) == 0);
}

}  // namespace isoloss
