// What is in ops.inc is tested: an operation that nobody wrote a case for would pass every device unseen.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/base/file.h"
#include "kernels/core/op.h"

namespace isoloss::test {

namespace {

/// Names of `ops` that no text names as the operation of a case. A backward operation is checked with its forward one.
std::set<std::string> without_case(const std::vector<OpDef>& ops, const std::string& tests) {
  std::set<std::string> missing, backward;
  for (const OpDef& op : ops) backward.insert(op.gradient.op);
  for (const OpDef& op : ops) {
    const bool named = tests.find(fmt::format("\"{}\"", op.name)) != std::string::npos;
    if (!named && !backward.contains(op.name)) missing.insert(op.name);
  }
  return missing;
}

}  // namespace

TEST_CASE("registry: every operation has a case") {
  std::string tests;
  for (const auto& entry : std::filesystem::directory_iterator("tests/kernels")) {
    if (entry.path().extension() == ".cpp") tests += read_file(entry.path());
  }
  CHECK(without_case(all_ops(), tests).empty());
  OpDef forgotten;
  forgotten.name = std::string("forgot") + "ten";  // not as the texts have it
  CHECK(without_case({forgotten}, tests) == std::set{forgotten.name});
}

TEST_CASE("registry: names are there once, and gradient records name operations and ports that exist") {
  std::set<std::string> names;
  for (const OpDef& op : all_ops()) {
    CAPTURE(op.name);
    CHECK(names.insert(op.name).second);
    const GradientRecord& record = op.gradient;
    if (*record.op == '\0') continue;
    const OpDef& backward = find_op(record.op);
    const auto is_port = [&](std::string_view name) { return op.input(name) >= 0 || op.output(name) >= 0; };
    for (const auto& [port, source] : record.reads) {
      CAPTURE(source);
      const std::string_view name = source;
      CHECK(backward.input(port) >= 0);
      CHECK((is_port(name) || (name.starts_with('d') && op.output(name.substr(1)) >= 0)));
    }
    for (const auto& [port, target] : record.writes) {
      CAPTURE(target);
      CHECK(backward.output(port) >= 0);
      CHECK(is_port(target));
    }
    for (const auto& [output, input] : record.aliases) {
      CHECK(op.output(output) >= 0);
      CHECK(op.input(input) >= 0);
    }
    CHECK((*record.weight == '\0') != record.replaces_forward);
  }
}

TEST_CASE("attributes: what an operation does not know, lacks, or cannot take is said by name") {
  const auto error = [](const char* op, const Attributes& attributes) -> std::string {
    try {
      find_op(op).check(attributes);
    } catch (const std::logic_error& mistake) {
      return mistake.what();
    }
    return "";
  };
  CHECK(error("linear", {}).empty());  // all have a standard value
  CHECK(error("linear", {{"activation", 2}, {"transposed", 1}}).empty());
  CHECK(error("linear", {{"activaton", 2}}) == "linear knows no attribute 'activaton'");
  CHECK(error("linear", {{"activation", 4}}) == "linear: 'activation' is a whole number below 4, not 4");
  CHECK(error("linear", {{"transposed", 0.5}}) == "linear: 'transposed' is 0 or 1, not 0.5");
  CHECK(error("rmsnorm", {}) == "rmsnorm needs its attribute 'epsilon'");
  CHECK(error("classifier", {{"vocab", 1.5}}) == "classifier: 'vocab' is a whole number, not 1.5");
  CHECK(error("add", {{"epsilon", 1}}) == "add knows no attribute 'epsilon'");
  // A backward operation gets the attributes of its forward node.
  CHECK(error("linear_backward", {{"activation", 1}, {"transposed", 0}}).empty());
  CHECK(error("linear_backward", {{"window", 1}}) == "linear_backward knows no attribute 'window'");
}

}  // namespace isoloss::test
