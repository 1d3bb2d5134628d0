#include "engine/energy.h"

#include <doctest/doctest.h>

#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::put_file;
using isoloss::test::TemporaryFolder;

namespace {
void put_zone(const TemporaryFolder& folder, int zone, const std::string& name, std::uint64_t microjoules) {
  const std::string path = "intel-rapl:" + std::to_string(zone) + "/";
  put_file(folder / (path + "name"), name + "\n");
  put_file(folder / (path + "energy_uj"), std::to_string(microjoules) + "\n");
  put_file(folder / (path + "max_energy_range_uj"), "262143328850\n");
}
}  // namespace

TEST_CASE("energy: the packages add up, the board that contains them does not, and a counter may wrap once") {
  const TemporaryFolder folder;
  put_zone(folder, 0, "package-0", 1'000'000);
  put_zone(folder, 1, "package-1", 262'143'000'000);
  put_zone(folder, 2, "psys", 5'000'000);
  EnergyMeter meter(DeviceKind::cpu, folder.path().string());
  CHECK(meter.take() == 0.0);
  put_zone(folder, 0, "package-0", 3'500'000);
  put_zone(folder, 1, "package-1", 171'150);  // wrapped: 328,850 to the end, 171,150 from there on
  put_zone(folder, 2, "psys", 90'000'000);
  CHECK(meter.take() == doctest::Approx(3.0).epsilon(1e-12));
  CHECK(meter.take() == 0.0);
}

TEST_CASE("energy: without counters, or with one that cannot be read any more, there is no number") {
  const TemporaryFolder folder;
  CHECK_FALSE(EnergyMeter(DeviceKind::cpu, folder.path().string()).take());
  put_zone(folder, 0, "psys", 1);
  CHECK_FALSE(EnergyMeter(DeviceKind::cpu, folder.path().string()).take());
  put_zone(folder, 0, "package-0", 1);
  EnergyMeter meter(DeviceKind::cpu, folder.path().string());
  CHECK(meter.take());
  std::filesystem::remove(folder / "intel-rapl:0/energy_uj");
  CHECK_FALSE(meter.take());
}
