#include "engine/run_record.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/remains.h"
#include "kernels/base/file.h"
#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::error_of;
using isoloss::test::put_file;
using isoloss::test::TemporaryFolder;

namespace {

Manifest example() {
  Manifest manifest;
  manifest.name = "nano";
  manifest.config = R"({"model":{"layers":4},"data":{"train":["a.bin"]}})";
  manifest.toggles = {"layernorm, pre-norm", "flash attention"};
  manifest.parameters_total = 800000;
  manifest.parameters_active = 790000;
  manifest.parameters_embedding = 40000;
  manifest.flops_per_token = 4.75e6;
  manifest.train = {{"train_000000.bin", "ab", 12345}, {"train_000001.bin", "cd", 99}};
  manifest.val = {{"val_000000.bin", "ef", 17}};
  manifest.eval_sha256 = "0123";
  manifest.eval_tokens = 128;
  manifest.eval_windows = 2;
  manifest.seed = 18446744073709551615u;
  manifest.device = "cpu";
  manifest.threads = 2;
  manifest.cpu = "A processor";
  manifest.version = "0.1.0";
  manifest.compiler = "GCC 12";
  manifest.sweep = R"({"variant":"rope","class":"compute-independent","scale":"nano","seed":1,"parts":[]})";
  return manifest;
}

LogLine log_line(std::int64_t step) {
  LogLine line;
  line.step = step;
  line.tokens = step * 768;
  line.flops = 1e9 / 3 * static_cast<double>(step);
  line.loss = 5.5;
  return line;
}

EvalLine eval_line(std::int64_t step) {
  EvalLine line;
  line.step = step;
  line.val_loss = 4.25;
  return line;
}

/// A checkpoint of an earlier version, which knows its step and nothing of the record.
Checkpoint unmarked(std::int64_t step) {
  Checkpoint checkpoint;
  checkpoint.state.step = step;
  return checkpoint;
}

void write_steps(RunRecord& record, std::int64_t first, std::int64_t last) {
  for (std::int64_t step = first; step <= last; ++step) {
    record.append(log_line(step));
    if (step % 2 == 0) record.append(eval_line(step));
  }
}

}  // namespace

TEST_CASE("manifest.json has the keys that ceg reads, and reads back the same") {
  const TemporaryFolder folder;
  const Manifest manifest = example();
  { const RunRecord record = RunRecord::create(folder / "run", manifest); }
  const std::string text = read_file(folder / "run/manifest.json");
  const auto json = nlohmann::json::parse(text);
  CHECK(json["format"] == 1);
  CHECK(json["name"] == "nano");
  CHECK(json["config"]["model"]["layers"] == 4);
  CHECK(json["toggles"][1] == "flash attention");
  CHECK(json["parameters"]["total"] == 800000);
  CHECK(json["parameters"]["active"] == 790000);
  CHECK(json["parameters"]["embedding"] == 40000);
  CHECK(json["flops_per_token"] == 4.75e6);
  CHECK(json["data"]["train"][0] == nlohmann::json{{"file", "train_000000.bin"}, {"sha256", "ab"}, {"tokens", 12345}});
  CHECK(json["data"]["val"].size() == 1);
  CHECK(json["data"]["tokenizer_sha256"].is_null());
  CHECK(json["eval"] == nlohmann::json{{"data_sha256", "0123"}, {"tokens", 128}, {"windows", 2}});
  CHECK(json["seed"] == 18446744073709551615u);
  CHECK(json["device"] == "cpu");
  CHECK(json["threads"] == 2);
  CHECK(json["hardware"]["cpu"] == "A processor");
  CHECK(json["hardware"]["gpu"].is_null());
  CHECK(json["status"] == "running");
  CHECK(json["sweep"]["variant"] == "rope");
  CHECK(to_json(read_manifest(folder / "run")) == text);
  CHECK(nlohmann::json::parse(to_json(Manifest())).contains("sweep") == false);
}

TEST_CASE("a run's identity is of all that decides its figures, and of nothing else") {
  const std::string run = identity_of(example());
  const auto changes = [&](const std::function<void(Manifest&)>& change) {
    Manifest manifest = example();
    change(manifest);
    return identity_of(manifest) != run;
  };
  CHECK(changes([](Manifest& m) { m.config = R"({"model":{"layers":5},"data":{"train":["a.bin"]}})"; }));
  CHECK(changes([](Manifest& m) { m.seed -= 1; }));
  CHECK(changes([](Manifest& m) { m.train[1].sha256 = "ce"; }));
  CHECK(changes([](Manifest& m) { m.val[0].sha256 = "eg"; }));
  CHECK(changes([](Manifest& m) { m.tokenizer_sha256 = "12"; }));
  CHECK(changes([](Manifest& m) { m.eval_sha256 = "0124"; }));
  CHECK(changes([](Manifest& m) { m.init_file = "model.safetensors", m.init_sha256 = "34"; }));
  CHECK_FALSE(changes([](Manifest& m) { m.status = RunStatus::finished, m.weights = {10, 20}; }));
  CHECK_FALSE(changes([](Manifest& m) { m.name = "moved", m.device = "cuda", m.threads = 8, m.sweep.clear(); }));
}

TEST_CASE("a run that goes on has no finished weights any more, and its record no end") {
  const TemporaryFolder folder;
  {
    RunRecord record = RunRecord::create(folder / "run", example());
    record.finish({10, 20});
    CHECK(read_manifest(folder / "run").weights.has_value());
    CHECK(read_manifest(folder / "run").records.has_value());
  }
  { const RunRecord record = RunRecord::resume(folder / "run", unmarked(0)); }
  CHECK_FALSE(read_manifest(folder / "run").weights.has_value());
  CHECK_FALSE(read_manifest(folder / "run").records.has_value());
}

TEST_CASE("the manifest of a run that has ended knows its record to the last byte") {
  const TemporaryFolder folder;
  const auto run = folder / "run", eval = run / "eval.jsonl";
  RunRecord record = RunRecord::create(run, example());
  write_steps(record, 1, 5);
  expect_records(run, read_manifest(run));  // of a run under way it says nothing
  for (const bool diverges : {false, true}) {
    diverges ? record.end_diverged() : record.finish({10, 20});
    const Manifest manifest = read_manifest(run);
    CHECK(manifest.status == (diverges ? RunStatus::diverged : RunStatus::finished));
    CHECK(manifest.records.value() == record.mark().lines);
    const auto json = nlohmann::json::parse(read_file(run / "manifest.json"))["records"];
    CHECK(json["log.jsonl"]["lines"] == 5);
    CHECK(json["eval.jsonl"]["lines"] == 2);
    CHECK(json["eval.jsonl"]["bytes"] == read_file(eval).size());
    expect_records(run, manifest);
    const std::string whole = read_file(eval);
    std::string changed = whole;
    changed.replace(changed.find("4.25"), 4, "4.26");
    put_file(eval, changed);
    CHECK(error_of([&] { expect_records(run, manifest); }).starts_with("2 [" + eval.string() + "] expected the check"));
    put_file(eval, whole);
  }
}

TEST_CASE("lines in a file that its path does not lead to any more are a run error") {
  const TemporaryFolder folder;
  RunRecord record = RunRecord::create(folder / "run", example());
  record.append(log_line(1));
  record.sync();
  const auto log = folder / "run/log.jsonl";
  const std::string expected = "1 [" + log.string() + "] expected the file that the run writes, got ";
  std::filesystem::rename(folder / "run", folder / "moved");
  CHECK(error_of([&] { record.sync(); }) == expected + "No such file or directory");
  CHECK(error_of([&] { record.finish({10, 20}); }) == expected + "No such file or directory");
  std::filesystem::copy(folder / "moved", folder / "run");
  CHECK(error_of([&] { record.finish({10, 20}); }) == expected + "another one in its place");
  CHECK(read_manifest(folder / "run").status == RunStatus::running);
  std::filesystem::remove_all(folder / "run");
  std::filesystem::rename(folder / "moved", folder / "run");
  record.finish({10, 20});
  CHECK(read_manifest(folder / "run").status == RunStatus::finished);
}

TEST_CASE("only a run that was killed is taken for one stopped before its first checkpoint") {
  const TemporaryFolder folder;
  RunRecord record = RunRecord::create(folder / "run", example());
  CHECK(stopped_before_first_checkpoint(folder / "run"));
  for (const RunStatus status : {RunStatus::interrupted, RunStatus::diverged, RunStatus::finished}) {
    record.set_status(status);
    CHECK_FALSE(stopped_before_first_checkpoint(folder / "run"));
  }
  record.set_status(RunStatus::running);
  put_file(folder / "run/checkpoints/step_00000004.tmp/state.json", "");
  CHECK(stopped_before_first_checkpoint(folder / "run"));
  put_file(folder / "run/checkpoints/step_00000004/state.json", "");
  CHECK_FALSE(stopped_before_first_checkpoint(folder / "run"));
}

TEST_CASE("status is rewritten in place") {
  const TemporaryFolder folder;
  RunRecord record = RunRecord::create(folder / "run", example());
  for (const RunStatus status :
       {RunStatus::interrupted, RunStatus::diverged, RunStatus::finished, RunStatus::running}) {
    record.set_status(status);
    CHECK(read_manifest(folder / "run").status == status);
  }
}

TEST_CASE("lines hold exactly the contract's keys, the shortest exact numbers, and null for what is absent") {
  LogLine log = log_line(3);
  log.learning_rate = 0.1;
  log.grad_norm = std::numeric_limits<double>::quiet_NaN();
  CHECK(
      to_json(log) ==
      R"({"step":3,"tokens":2304,"flops":1000000000,"seconds":0,"loss":5.5,"grad_norm":null,"learning_rate":0.1,"tokens_per_second":0})");
  const auto fields = nlohmann::json::parse(to_json(log));
  for (const auto& [key, value] : fields.items()) CHECK_MESSAGE(is_log_key(key), key);
  CHECK_FALSE(is_log_key("balance"));
  log.metrics = {{"balance", 1.25}, {"z", std::numeric_limits<double>::infinity()}};
  CHECK(to_json(log).ends_with(R"("tokens_per_second":0,"balance":1.25,"z":null})"));
  EvalLine eval = eval_line(0);
  eval.flops = 1.0 / 3;
  CHECK(
      to_json(eval) ==
      R"({"step":0,"tokens":0,"flops":0.3333333333333333,"seconds":0,"joules":null,"val_loss":4.25,"block_losses":null})");
  eval.joules = 12.5;
  eval.block_losses = {4, 4.5};
  const auto json = nlohmann::json::parse(to_json(eval));
  CHECK(json["joules"] == 12.5);
  CHECK(json["block_losses"] == nlohmann::json{4, 4.5});
  for (const double value : {5e-324, 1.7976931348623157e308, 0.1 + 0.2, 123456789012345680.0}) {
    log.seconds = value;
    CHECK(nlohmann::json::parse(to_json(log))["seconds"].get<double>() == value);
  }
}

TEST_CASE("a folder that holds a run is refused, one that holds other files is not") {
  const TemporaryFolder folder;
  put_file(folder / "run/config.toml", "");
  CHECK_FALSE(holds_run(folder / "run"));
  { const RunRecord record = RunRecord::create(folder / "run", example()); }
  CHECK(holds_run(folder / "run"));
  CHECK(error_of([&] { RunRecord::create(folder / "run", example()); }) ==
        "2 [" + (folder / "run").string() +
            "] expected a folder without a run (or --resume to go on with it), got one that holds manifest.json");
  put_file(folder / "other/checkpoints/x", "");
  CHECK(holds_run(folder / "other"));
  put_file(folder / "file", "");
  CHECK(error_of([&] { RunRecord::create(folder / "file/run", example()); }).substr(0, 3) == "1 [");
}

TEST_CASE("resume cuts what is past the checkpoint and leaves the rest byte for byte") {
  const TemporaryFolder folder;
  const auto log = folder / "run/log.jsonl", eval = folder / "run/eval.jsonl";
  std::string log_until_5, eval_until_5, whole_log, whole_eval;
  {
    RunRecord record = RunRecord::create(folder / "run", example());
    CHECK(record.last_evaluated_step() == -1);
    record.append(eval_line(0));
    write_steps(record, 1, 5);
    CHECK(record.last_evaluated_step() == 4);
    CHECK(record.last_val_loss() == 4.25);
    log_until_5 = read_file(log), eval_until_5 = read_file(eval);
    write_steps(record, 6, 9);
    whole_log = read_file(log), whole_eval = read_file(eval);
    record.set_status(RunStatus::interrupted);
  }
  put_file(log, whole_log + R"({"step":10,"tok)");  // torn by a kill
  {
    RunRecord record = RunRecord::resume(folder / "run", unmarked(5));
    CHECK(read_file(log) == log_until_5);
    CHECK(read_file(eval) == eval_until_5);
    CHECK(record.last_evaluated_step() == 4);
    CHECK(record.last_val_loss() == 4.25);
    CHECK(read_manifest(folder / "run").status == RunStatus::running);
    write_steps(record, 6, 9);
  }
  CHECK(read_file(log) == whole_log);
  CHECK(read_file(eval) == whole_eval);
  { const RunRecord record = RunRecord::resume(folder / "run", unmarked(9)); }
  CHECK(read_file(log) == whole_log);
  put_file(log, whole_log.substr(0, whole_log.size() - 1));  // the last line lost its end
  { const RunRecord record = RunRecord::resume(folder / "run", unmarked(9)); }
  CHECK(read_file(log) == whole_log.substr(0, whole_log.rfind('{')));
  {
    const RunRecord record = RunRecord::resume(folder / "run", unmarked(-1));
    CHECK(record.last_evaluated_step() == -1);
    CHECK_FALSE(record.last_val_loss());
  }
  CHECK(read_file(log).empty());
}

TEST_CASE("a resumed record with foreign lines or a broken manifest is an input error that names the place") {
  const TemporaryFolder folder;
  { const RunRecord record = RunRecord::create(folder / "run", example()); }
  const auto log = folder / "run/log.jsonl";
  const auto error_at = [&](const char* line) {
    const std::string text = to_json(log_line(1)) + "\n" + line + "\n";
    put_file(log, text);
    const std::string error = error_of([&] { RunRecord::resume(folder / "run", unmarked(5)); });
    CHECK(read_file(log) == text);
    return error;
  };
  const std::string place = "2 [" + log.string() + ":2", expected = "] expected a JSON object with a step, got ";
  for (const char* line : {"[1]", "{}", R"({"step":"1"})", R"({"step":1.5})", R"({"step":18446744073709551615})"}) {
    CHECK(error_at(line) == place + expected + line);
  }
  CHECK(error_at("hello") == place + " byte 1" + expected + "a syntax error");
  CHECK(error_at(R"({"step":1e999})") == place + " byte 13" + expected + "1e999, a number beyond the range of double");
  const auto manifest = folder / "run/manifest.json";
  const std::string whole = read_file(manifest);
  for (const std::string& text : {std::string("{"), std::string("{}"), std::string("[]"),
                                  std::string("{\"format\":1e999}"), whole.substr(0, 100)}) {
    put_file(manifest, text);
    CHECK(error_of([&] { read_manifest(folder / "run"); }).substr(0, 3 + manifest.string().size()) ==
          "2 [" + manifest.string());
  }
  for (const char* value : {"3.7", "-1", "1e3", "99999999999999999999", "true"}) {
    nlohmann::ordered_json changed = nlohmann::ordered_json::parse(whole);
    changed.erase("xxh64");  // as earlier versions wrote it
    changed["seed"] = nlohmann::ordered_json::parse(value);
    put_file(manifest, changed.dump());
    CHECK(error_of([&] { read_manifest(folder / "run"); }).starts_with("2 [" + manifest.string() + " seed] expected"));
  }
  std::string odd = whole;
  odd.replace(odd.find("running"), 7, "jumping");
  put_file(manifest, odd);
  CHECK(error_of([&] { read_manifest(folder / "run"); }).find("got jumping") != std::string::npos);
}

TEST_CASE("a full disk is a run error and leaves no half line") {
  const TemporaryFolder folder;
  RunRecord record = RunRecord::create(folder / "run", example());
  const auto log = folder / "run/log.jsonl";
  write_steps(record, 1, 3);
  const std::string before = read_file(log);
  // A limit on file size acts like a disk that fills up in the middle of the next line.
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlim_t old_limit = limit.rlim_cur;
  limit.rlim_cur = before.size() + 10;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const std::string error = error_of([&] { record.append(log_line(4)); });
  limit.rlim_cur = old_limit;
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, old_handler);
  CHECK(error.find("1 [" + log.string() + "] expected room for a line") == 0);
  CHECK(read_file(log) == before);
  record.append(log_line(4));
  CHECK(read_file(log) == before + to_json(log_line(4)) + "\n");
}
