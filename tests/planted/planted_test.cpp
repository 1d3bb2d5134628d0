// The list of planted bugs fits the sources as they are: each text is there exactly once. Whether the tests find the
// bugs is for run.sh, which takes long.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>

#include "kernels/base/file.h"
#include "tests/harness/replace_once.h"
#include "tests/planted/bugs.h"

namespace isoloss {

using planted::Bug, planted::kBugs;

TEST_CASE("planted bugs: the text of each is in its file exactly once") {
  std::map<std::string_view, std::string> sources;
  for (const Bug& bug : kBugs) {
    CAPTURE(bug.name);
    CAPTURE(bug.file);
    if (!sources.contains(bug.file)) sources[bug.file] = read_file(std::string(bug.file));
    CHECK(test::occurrences(sources[bug.file], bug.from) == 1);
  }
}

TEST_CASE("planted bugs: sixty at least, each of its own name, each a change of a source that ships") {
  CHECK(std::size(kBugs) >= 60);
  for (const Bug& bug : kBugs) {
    CAPTURE(bug.name);
    CHECK(std::ranges::count(kBugs, bug.name, &Bug::name) == 1);
    CHECK(bug.from != bug.to);
    CHECK_FALSE(bug.file.starts_with("tests/"));
    CHECK_FALSE(bug.cases.empty());
  }
}

}  // namespace isoloss
