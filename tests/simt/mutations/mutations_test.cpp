// Every planted bug is found, in the way that its line in mutations.inc says.
#include "tests/simt/mutations/mutations.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/harness/process.h"

namespace isoloss::test {
namespace {

/// body(index) for every mutation, on all processors.
template <class Body>
void each_mutation(Body&& body) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> workers;
  for (unsigned worker = 0; worker < std::max(1u, std::thread::hardware_concurrency()); ++worker) {
    workers.emplace_back([&] {
      for (std::size_t i = next++; i < std::size(simt::kMutations); i = next++) body(i);
    });
  }
  for (std::thread& worker : workers) worker.join();
}

}  // namespace

TEST_CASE("mutations: each is caught, by name, and what is unchanged passes") {
  std::vector<ProcessResult> results(std::size(simt::kMutations));
  each_mutation([&](std::size_t i) {
    const simt::Mutation& mutation = simt::kMutations[i];
    results[i] = run(
        {program("mutants/simt_mutant_" + std::string(mutation.name)), "--test-case=" + std::string(mutation.cases)});
  });
  for (std::size_t i = 0; i < results.size(); ++i) {
    const simt::Mutation& mutation = simt::kMutations[i];
    const std::string said = results[i].out + results[i].err;
    if (mutation.report.empty()) {
      CHECK_MESSAGE(results[i].exit_code == 0, mutation.name, " failed:\n", said.substr(0, 3000));
      CHECK(said.find("1 passed") != std::string::npos);
      continue;
    }
    CHECK_MESSAGE(results[i].exit_code != 0, mutation.name, " was not noticed");
    CHECK_MESSAGE(said.find(mutation.report) != std::string::npos, mutation.name, ": expected \"", mutation.report,
                  "\" in what it said:\n", said.substr(0, 3000));
  }
}

TEST_CASE("mutations: names and changes are all different") {
  for (const simt::Mutation& mutation : simt::kMutations) {
    CHECK(std::ranges::count(simt::kMutations, mutation.name, &simt::Mutation::name) == 1);
    CHECK(mutation.from != mutation.to);
  }
}

}  // namespace isoloss::test
