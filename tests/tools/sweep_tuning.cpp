// Several learning rates: each variant and scale searches with its first seed, and goes on with the best one.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/tools/sweep_fixture.h"

namespace isoloss {

using nlohmann::json;

namespace {

// The fake train likes 1e-3 best and diverges above 1.
std::string tuned_suite() { return "learning_rates = [1e-2, 1e-3, 5.0]\n" + small_suite(); }

double rate_of(const SweepFolder& folder, const std::string& run) {
  const json manifest = json::parse(folder.read("out/" + run + "/manifest.json"));
  return manifest["config"]["optimizer"]["learning_rate"].get<double>();
}

bool exists(const SweepFolder& folder, const std::string& run) {
  return std::filesystem::exists(folder / ("out/" + run + "/manifest.json"));
}

}  // namespace

TEST_CASE("the best learning rate is kept, the others stay under tuning/") {
  const SweepFolder folder;
  folder.write("suite.toml", tuned_suite());
  const ProgramResult result = folder.sweep({"--jobs", "2"});
  CHECK(result.code == 0);
  for (const std::string cell : {"small/baseline", "small/layernorm", "large/baseline", "large/layernorm"}) {
    CAPTURE(cell);
    CHECK(rate_of(folder, cell + "/seed1") == 1e-3);
    CHECK(rate_of(folder, cell + "/seed2") == 1e-3);
    CHECK(exists(folder, "tuning/" + cell + "-lr0.01"));
    CHECK(exists(folder, "tuning/" + cell + "-lr5"));
    CHECK(!exists(folder, "tuning/" + cell + "-lr0.001"));  // moved, not made twice
    CHECK(folder.read("out/" + cell + "/seed1/starts.txt") == "started\n");
  }
  CHECK(rate_of(folder, "small/baseline-A-A/seed1001") == 1e-3);  // an arm searches like everybody

  const json record = json::parse(folder.read("out/sweep.json"));
  REQUIRE(record["learning_rate_searches"].size() == 6);
  const json& search = record["learning_rate_searches"][0];
  CHECK(search["best"] == 1e-3);
  REQUIRE(search["candidates"].size() == 3);
  CHECK(search["candidates"][0]["folder"] == "tuning/small/baseline-lr0.01");
  CHECK(search["candidates"][1]["folder"] == "small/baseline/seed1");
  CHECK(search["candidates"][1]["val_loss"].get<double>() < search["candidates"][0]["val_loss"].get<double>());
  CHECK(search["candidates"][2]["val_loss"].is_null());
  CHECK(search["candidates"][0]["state"] == "finished");
  CHECK(search["candidates"][2]["state"] == "diverged");
  CHECK(result.error.find("tuning/small/baseline-lr5  diverged") != std::string::npos);

  CHECK(folder.sweep({"--dry-run"}).out.find("diverged") != std::string::npos);
  const ProgramResult both =
      folder.sweep({"--set", "optimizer.learning_rate=3e-3"});  // would be one of several masters
  CHECK(both.code == 2);
  CHECK(both.error.find("optimizer.learning_rate] expected it either here or in `learning_rates`, got both") !=
        std::string::npos);

  CHECK(folder.sweep().code == 0);
  CHECK(folder.read("out/small/baseline/seed1/starts.txt") == "started\n");
  CHECK(folder.read("out/tuning/small/baseline-lr0.01/starts.txt") == "started\n");
  CHECK(folder.read("out/tuning/small/baseline-lr5/starts.txt") == "started\n");
}

TEST_CASE("of learning rates with equal losses the first in the suite wins, whichever run ends first") {
  for (const std::string rates : {"[1e-2, 1e-3, 1e-4]", "[1e-4, 1e-3, 1e-2]"}) {
    CAPTURE(rates);
    const SweepFolder folder;
    folder.write("suite.toml", with(tuned_suite(), "[1e-2, 1e-3, 5.0]", rates));
    CHECK(
        folder.sweep({"--only", "small/baseline/seed1", "--jobs", "3", "--threads", "3"}, {{"FAKE_TRAIN_LOSS", "3.25"}})
            .code == 0);
    const json search = json::parse(folder.read("out/sweep.json"))["learning_rate_searches"][0];
    for (const json& candidate : search["candidates"]) CHECK(candidate["val_loss"] == 3.25);
    const double first = rates.starts_with("[1e-2") ? 1e-2 : 1e-4;
    CHECK(search["best"] == first);
    CHECK(rate_of(folder, "small/baseline/seed1") == first);
  }
}

TEST_CASE("the best learning rate may be the first or the last of the list, and lie beside one that diverged") {
  for (const std::string rates : {"[1e-3, 3e-3, 5.0]", "[5.0, 3e-3, 1e-3]"}) {
    CAPTURE(rates);
    const SweepFolder folder;
    folder.write("suite.toml", with(tuned_suite(), "[1e-2, 1e-3, 5.0]", rates));
    CHECK(folder.sweep({"--only", "small/baseline/seed2"}).code == 0);
    CHECK(rate_of(folder, "small/baseline/seed1") == 1e-3);
    CHECK(rate_of(folder, "small/baseline/seed2") == 1e-3);
  }
}

TEST_CASE("--only runs the search that its runs need, and no other") {
  const SweepFolder folder;
  folder.write("suite.toml", tuned_suite());
  CHECK(folder.sweep({"--only", "small/layernorm/seed2"}).code == 0);
  CHECK(rate_of(folder, "small/layernorm/seed2") == 1e-3);
  CHECK(rate_of(folder, "small/layernorm/seed1") == 1e-3);  // the winner
  CHECK(!exists(folder, "tuning/small/baseline-lr0.01"));
}

TEST_CASE("a search in which everything diverges fails its runs") {
  const SweepFolder folder;
  folder.write("suite.toml", with(tuned_suite(), "[1e-2, 1e-3, 5.0]", "[5.0, 6.0]"));
  const ProgramResult result = folder.sweep();
  CHECK(result.code == 1);
  CHECK(result.error.find("every learning rate diverged") != std::string::npos);
}

TEST_CASE("one learning rate is simply used") {
  const SweepFolder folder;
  folder.write("suite.toml", with(tuned_suite(), "[1e-2, 1e-3, 5.0]", "[4e-3]"));
  CHECK(folder.sweep().code == 0);
  CHECK(rate_of(folder, "large/layernorm/seed2") == 4e-3);
  CHECK(!std::filesystem::exists(folder / "out/tuning"));
}

}  // namespace isoloss
