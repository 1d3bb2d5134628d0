// The measuring half of `bench` on the host executor: every operation with a CUDA launcher, copies, timing, report.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "kernels/simt/host_device.h"
#include "tools/bench/datasheet.h"
#include "tools/bench/device_peers.h"
#include "tools/bench/measure.h"
#include "tools/bench/operation.h"
#include "tools/bench/session.h"

namespace isoloss::test {
namespace {

using nlohmann::json;

/// Remembers where products and copies went, and lets time pass only when a test says so.
class WatchedDevice : public simt::HostDevice {
 public:
  void matmul(const Matmul& call, Stream stream) override {
    const auto text = [](const Matmul::Operand& operand) {
      return fmt::format("{}{}", operand.row, operand.transposed ? "T" : "");
    };
    products.push_back(fmt::format("{}x{}x{} {} {} {} {} -> {}", call.m, call.n, call.k, text(call.a), text(call.b),
                                   text(call.c), isoloss::name_of(call.operands), isoloss::name_of(call.result)));
    // With a bias: of the operation itself, not of the product beside it.
    if (call.bias != nullptr) biased_operands.insert(call.a.data), biased_results.insert(call.c.data);
    results.insert(call.c.data);
    simt::HostDevice::matmul(call, stream);
  }
  void record(Event event, Stream stream) override {
    if (clock < 0) return simt::HostDevice::record(event, stream);
    *static_cast<double*>(event) = clock;
  }

  std::set<void*> biased_operands, biased_results, results;
  std::vector<std::string> products;  ///< all there is to know of them but the addresses
  double clock = -1;                  ///< milliseconds; below 0: the real time
};

struct Bench {
  std::shared_ptr<WatchedDevice> device = std::make_shared<WatchedDevice>();
  Machine machine{device, /*tf32=*/false};
};

bench::Request tiny_request(Precision precision) {
  bench::Request request;
  request.shapes = "tiny";
  request.seconds = 1e-3;
  request.precision = precision;
  request.command = "bench --shapes tiny";
  request.ceiling_sizes = {.matmul = 32, .copy_bytes = 1 << 16};
  return request;
}

std::set<std::string> ops_with_launcher() {
  std::set<std::string> names;
  for (const OpDef& op : all_ops()) {
    if (op.launch[static_cast<std::size_t>(DeviceKind::cuda)] != nullptr) names.insert(op.name);
  }
  return names;
}

bool positive(const json& number) { return number.is_number() && std::isfinite(number.get<double>()) && number > 0; }

std::string expected_peer(const std::string& op) {
  if (op.starts_with("linear") || op.starts_with("classifier")) return "matmul";
  return op.starts_with("attention_flash") || op.starts_with("attention_naive") ? "" : "copy";
}

}  // namespace

TEST_CASE("bench: every operation with a CUDA launcher is measured, forward and backward, in both types") {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    CAPTURE(bench::name_of(precision));
    const Bench on;
    const json report = bench::run_session(tiny_request(precision), on.machine);
    std::set<std::string> measured;
    for (const json& row : report.at("operations")) {
      CAPTURE(row.dump());
      const std::string op = row.at("op");
      measured.insert(op);
      for (const char* key : {"seconds_median", "seconds_shortest", "bytes", "bytes_per_second", "share_of_ceiling"}) {
        CHECK(positive(row.at(key)));
      }
      CHECK(row.at("flops").is_number());
      CHECK(row.at("flops_per_second").is_number());
      CHECK(row.at("seconds_shortest") <= row.at("seconds_median"));
      CHECK(row.at("runs") >= 3);
      CHECK(row.at("copies") >= 2);
      CHECK_FALSE(row.at("shapes").get<std::string>().empty());
      if (expected_peer(op).empty()) {
        CHECK(row.at("peer").is_null());  // cuDNN is not in this program
      } else {
        REQUIRE(row.at("peer").is_object());
        CHECK(row["peer"].at("name") == expected_peer(op));
        CHECK(positive(row["peer"].at("seconds_median")));
        CHECK(positive(row["peer"].at("relative_speed")));
      }
    }
    std::set<std::string> wanted = ops_with_launcher();
    if (precision == Precision::fp32) wanted.erase("cast");  // makes bf16 of float32: no part of a float32 step
    CHECK(measured == wanted);
  }
}

TEST_CASE("bench: operands take turns from different memory, together well beyond the cache") {
  const Bench on;
  const bench::Case test{"linear", "", {}, {{DType::bf16, {24, 40}}, {DType::bf16, {40, 56}}, {DType::bf16, {56}}}};
  const auto results = bench::measure(test, on.machine, 0, [](const std::string&) { return true; });
  REQUIRE(results.size() == 2);
  const auto& device = *on.device;
  const auto copies = static_cast<std::size_t>(results[0].copies);
  CHECK(static_cast<double>(copies) * results[0].cost.bytes > 3.0 * static_cast<double>(device.l2_bytes));
  CHECK(results[1].copies == results[0].copies);
  CHECK(device.biased_operands.size() == copies);
  CHECK(device.biased_results.size() == copies);
  CHECK(device.free_memory() == device.memory_limit - sizeof(StepState));  // nothing is kept but the machine's own
}

TEST_CASE("bench: a backward operation takes turns, too") {
  const Bench on;
  bench::Operands operands(on.machine);
  std::vector<std::vector<Tensor>> in;
  for (int copy = 0; copy < 3; ++copy) {
    in.push_back({operands.random({DType::f32, {24, 40}}), operands.random({DType::f32, {40, 56}}), Tensor{}});
  }
  const bench::Operation forward(find_op("linear"), {}, std::move(in), operands);
  const OpDef& def = find_op("linear_backward");
  const bench::Operation backward(def, {}, bench::backward_inputs(forward, def, operands), operands);
  CHECK(backward.copies() == 3);
  for (int turn = 0; turn < 7; ++turn) backward.run(turn);
  CHECK(on.device->results.size() == 3 * 2);  // dx and dw of each
}

TEST_CASE("bench: the products beside an operation are its own products, without what is around them") {
  struct Asked {
    const char* op;
    Attributes attributes;
    std::vector<TensorType> in;
  };
  const auto type = [](Shape shape) { return TensorType{DType::bf16, shape}; };
  const TensorType targets{DType::i32, {24}};
  for (const Asked& asked :
       {Asked{"linear", {}, {type({24, 40}), type({40, 56})}},
        Asked{"linear", {{"transposed", 1}, {"activation", 2}}, {type({24, 40}), type({56, 40}), type({56})}},
        Asked{"classifier", {{"vocab", 64}}, {type({24, 40}), type({64, 40}), targets}}}) {
    CAPTURE(asked.op);
    const Bench on;
    bench::Operands operands(on.machine);
    std::vector<Tensor> in;
    for (const TensorType& each : asked.in) in.push_back(operands.random(each));
    in.resize(find_op(asked.op).inputs.size());
    const bench::Operation forward(find_op(asked.op), asked.attributes, {in}, operands);
    forward.run(0);
    const OpDef& def = find_op(find_op(asked.op).gradient.op);
    const bench::Operation backward(def, asked.attributes, bench::backward_inputs(forward, def, operands), operands);
    for (const bench::Operation* operation : {&forward, &backward}) {
      CAPTURE(operation->op().name);
      on.device->products.clear();
      operation->run(0);
      const std::vector<std::string> own = std::exchange(on.device->products, {});
      const auto peer = bench::peer_of(*operation, operands);
      REQUIRE(peer);
      peer->rival.work(0);
      CHECK(own.size() > 0);
      CHECK(own == on.device->products);
    }
  }
}

TEST_CASE("bench: copies are as many as the cache asks for, and no more than memory allows") {
  const Bench on;
  on.device->l2_bytes = 1000;
  CHECK(bench::copies_beyond_cache(on.machine, 1e9) == 1);   // 4 GiB in all, of which a quarter
  CHECK(bench::copies_beyond_cache(on.machine, 5000) == 2);  // never the same operands twice in a row
  CHECK(bench::copies_beyond_cache(on.machine, 1000) == 4);  // more than three caches, not just as many
  CHECK(bench::copies_beyond_cache(on.machine, 10) == 301);
  CHECK(bench::copies_beyond_cache(DeviceKind::cpu, 10) == 1);
}

TEST_CASE("bench: copies hold the same numbers, ids stay in range") {
  const Bench on;
  bench::Operands operands(on.machine);
  const auto bits = [&](const Tensor& tensor) {
    std::vector<unsigned char> bytes(tensor.type.bytes());
    on.machine.to_host(bytes.data(), tensor.data, bytes.size());
    return bytes;
  };
  const Tensor narrow = operands.random({DType::bf16, {7, 11}}), again = operands.copy(narrow);
  CHECK(narrow.data != again.data);
  CHECK(bits(narrow) == bits(again));
  CHECK(bits(narrow) != bits(operands.random({DType::bf16, {7, 11}})));
  const Tensor ids = operands.random({DType::i32, {1000}}, 50),
               squares = operands.random({DType::f32, {1000}}, 1, true);
  std::set<int> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(ids.as<std::int32_t>()[i]);
    CHECK(squares.as<float>()[i] >= 0);
  }
  CHECK(*seen.begin() >= 0);
  CHECK(*seen.rbegin() < 50);
  CHECK(seen.size() > 40);
}

TEST_CASE("bench: a sample is the time of one launch, and every copy has its turn") {
  const Bench on;
  on.device->clock = 0;
  auto& stream = *static_cast<simt::HostStream*>(on.machine.stream());
  constexpr int kCopies = 3;
  std::vector<int> visits(kCopies, 0);
  int since_start = 0;
  const auto rival = [&](double milliseconds) {
    return bench::Rival{[&, milliseconds](int turn) {
                          stream.give([&, milliseconds, turn] {
                            visits[static_cast<std::size_t>(turn % kCopies)] += 1;
                            // The first launches choose algorithms: slow, and not part of any sample.
                            on.device->clock += since_start++ < kCopies ? 1000 : milliseconds;
                          });
                        },
                        kCopies};
  };
  const auto short_one = bench::times_of(on.machine, 0, {rival(0.01)});
  CHECK(short_one[0].median == doctest::Approx(1e-5));
  CHECK(short_one[0].shortest == doctest::Approx(1e-5));
  CHECK(short_one[0].runs >= 3 * 99);  // a millisecond of launches in each sample
  CHECK(visits[0] == visits[1]);
  CHECK(visits[0] == visits[2]);
  const auto rivals = bench::times_of(on.machine, 0, {rival(2), rival(40)});
  REQUIRE(rivals.size() == 2);
  CHECK(rivals[0].median == doctest::Approx(2e-3));
  CHECK(rivals[1].median == doctest::Approx(4e-2));
}

TEST_CASE("bench: the report of a device is complete") {
  const Bench on;
  bench::Request request = tiny_request(Precision::bf16);
  request.what = {"add", "gemm", "train"};
  request.config = "nano";
  request.set = {"model.vocab=50",   "model.layers=1",    "model.width=32",     "model.heads=2",
                 "model.context=16", "run.micro_batch=2", "run.batch_tokens=64"};
  const json report = bench::run_session(request, on.machine);
  for (const char* key :
       {"device", "architecture", "driver", "cuda", "commit", "command", "date", "precision", "shapes"}) {
    CAPTURE(key);
    CHECK_FALSE(report.at(key).get<std::string>().empty());
  }
  CHECK(report["device"] == "host executor");
  CHECK(report["precision"] == "bf16");
  CHECK(report["command"] == "bench --shapes tiny");
  CHECK(report["date"].get<std::string>().size() == std::string("2026-01-01T00:00:00Z").size());
  CHECK(positive(report.at("l2_bytes")));
  CHECK(positive(report.at("memory_bytes")));
  CHECK(positive(report.at("ceilings").at("gemm_flops_per_second")));
  CHECK(positive(report["ceilings"].at("copy_bytes_per_second")));
  REQUIRE(report.at("operations").size() == 1);
  CHECK(report["operations"][0]["op"] == "add");
  CHECK(report.at("products").size() == 5 * 3);
  for (const json& row : report["products"]) CHECK(positive(row.at("flops_per_second").at("device")));
  const json& training = report.at("training");
  for (const char* key : {"tokens_per_second", "seconds_median", "flops", "flops_per_second", "matmul_flops",
                          "planned_bytes", "utilisation_of_measured"}) {
    CAPTURE(key);
    CHECK(positive(training.at(key)));
  }
  CHECK(training.at("tokens") == 64);
  CHECK(training.at("steps") >= 3);
  CHECK(training.at("utilisation_of_datasheet").is_null());
  CHECK(on.device->launches_replayed > 3);
}

TEST_CASE("bench: an operation that fails is listed, and the others are measured") {
  class NoProducts : public simt::HostDevice {
   public:
    void matmul(const Matmul& call, Stream stream) override {
      if (call.k == 64) throw CudaFailure("no algorithm");  // as wide as the model
      simt::HostDevice::matmul(call, stream);
    }
  };
  bench::Request request = tiny_request(Precision::bf16);
  request.what = {"linear", "add", "layernorm"};
  const json report = bench::run_session(request, Machine(std::make_shared<NoProducts>(), /*tf32=*/false));
  REQUIRE(report.at("failed").size() == 4);  // of five: one reads the hidden layer
  CHECK(report["failed"][0].at("op") == "linear");
  CHECK(report["failed"][0].at("what") == "qkv");
  CHECK(report["failed"][0].at("error").get<std::string>().find("no algorithm") != std::string::npos);
  std::string measured;
  for (const json& row : report.at("operations")) measured += row.at("op").get<std::string>() + " ";
  CHECK(measured == "linear layernorm add ");
}

TEST_CASE("bench: the host has the same table, without copies and peers") {
  bench::Request request = tiny_request(Precision::fp32);
  request.what = {"linear", "linear_backward", "attention_flash", "gating"};
  const json report = bench::run_session(request, DeviceKind::cpu);
  CHECK(report.at("device") == "cpu");
  CHECK_FALSE(report.contains("driver"));
  CHECK(positive(report.at("ceilings").at("fma_flops_per_second")));
  CHECK(report.at("operations").size() == 2 * 5 + 2);  // five linear layers, forward and backward
  for (const json& row : report["operations"]) {
    CHECK(row.at("copies") == 1);
    CHECK(row.at("peer").is_null());
    CHECK(positive(row.at("seconds_median")));
  }
}

TEST_CASE("bench: attention's shapes keep tokens and width while context and heads change") {
  const auto cases = bench::cases_named("attention", DeviceKind::cuda, DType::bf16);
  std::set<std::pair<std::int64_t, std::int64_t>> seen;  // context, head dimension
  for (const bench::Case& test : cases) {
    if (test.op != "attention_flash") continue;
    const Shape& qkv = test.in[0].shape;
    CHECK(qkv[0] * qkv[1] == 16384);
    CHECK(qkv[2] == 3 * 2048);
    CHECK(test.in[0].dtype == DType::bf16);
    seen.insert({qkv[1], 2048 / test.attributes.integer("heads")});
  }
  CHECK(seen.size() == 8);
  CHECK(seen.count({8192, 128}) == 1);
  CHECK(bench::find_shapes("gpt2-124m", DeviceKind::cuda).tokens() == 16 * 1024);
  CHECK(bench::find_shapes("gpt2-124m", DeviceKind::cpu).tokens() == 2 * 256);
}

TEST_CASE("bench: activations have the type that was asked for, optimizers and ids their own type") {
  for (const DType real : {DType::f32, DType::bf16}) {
    for (const bench::Case& test : bench::cases_named("gpt2-124m", DeviceKind::cuda, real)) {
      CAPTURE(test.op);
      const bool flat = test.op == "adamw" || test.op == "sgd" || test.op == "global_norm" || test.op == "cast";
      int narrow = 0, wide = 0;
      for (const TensorType& type : test.in) narrow += type.dtype == DType::bf16, wide += type.dtype == DType::f32;
      CHECK((narrow == 0) == (real == DType::f32 || flat));
      CHECK((wide == 0) == (real == DType::bf16 && !flat));
      CHECK(test.attributes.flag("working") == (real == DType::bf16 && (test.op == "adamw" || test.op == "sgd")));
    }
  }
}

TEST_CASE("bench: a datasheet is only quoted for exactly its GPU") {
  CHECK(bench::datasheet_flops("NVIDIA H200", Precision::bf16) == 989.5e12);
  CHECK_FALSE(bench::datasheet_flops("NVIDIA H200 NVL", Precision::bf16));
  CHECK_FALSE(bench::datasheet_flops("host executor", Precision::fp32));
}

}  // namespace isoloss::test
