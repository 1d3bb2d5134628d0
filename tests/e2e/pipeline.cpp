// The programs together, as the README uses them.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/base/file.h"
#include "tests/e2e/fixture.h"

using namespace isoloss;
using namespace isoloss::test;

namespace {
std::vector<nlohmann::json> lines_of(const std::string& file) {
  std::istringstream in(read_file(file));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}
}  // namespace

TEST_CASE("tokenize, train, evaluate, generate") {
  const Workspace workspace;
  const ProcessResult trained = run(workspace.train("run"));
  REQUIRE_MESSAGE(trained.exit_code == 0, trained.err);
  const std::string folder = workspace.path("run");
  const auto log = lines_of(folder + "/log.jsonl"), evaluations = lines_of(folder + "/eval.jsonl");
  REQUIRE(log.size() == 40);
  REQUIRE(evaluations.size() == 5);
  for (const char* key :
       {"step", "tokens", "flops", "seconds", "loss", "grad_norm", "learning_rate", "tokens_per_second"}) {
    CHECK_MESSAGE(log.front().contains(key), key);
  }
  CHECK(log.front().at("step") == 1);
  CHECK(log.front().at("tokens") == 128);
  for (const char* key : {"step", "tokens", "flops", "seconds", "joules", "val_loss"})
    CHECK_MESSAGE(evaluations.front().contains(key), key);
  CHECK(evaluations.front().at("step") == 0);
  CHECK(evaluations.back().at("step") == 40);
  CHECK(evaluations.back().at("val_loss") < evaluations.front().at("val_loss"));
  const auto manifest = nlohmann::json::parse(read_file(folder + "/manifest.json"));
  CHECK(manifest.at("status") == "finished");

  SUBCASE("evaluate gives the run's own number") {
    const ProcessResult result = run({program("evaluate"), "--run", folder, "--tokens", "640", "--json"});
    REQUIRE_MESSAGE(result.exit_code == 0, result.err);
    const auto json = nlohmann::json::parse(result.out);
    CHECK(json.at("val_loss") == evaluations.back().at("val_loss"));
    CHECK(json.at("tokens") == 640);
    CHECK(json.at("perplexity").get<double>() == doctest::Approx(std::exp(json.at("val_loss").get<double>())));
    CHECK(json.at("bits_per_byte").get<double>() ==
          doctest::Approx(json.at("val_loss").get<double>() / std::log(2.0)));  // one byte a token
    const ProcessResult by_file = run({program("evaluate"), "--weights", folder + "/model.safetensors", "--config",
                                       "nano", "--data", workspace.tokens() + "/val_000000.bin"});
    CHECK(by_file.exit_code == 2);  // nano's own shape is another
    CHECK(ends_with_one_error(by_file.err));
  }
  SUBCASE("generate repeats itself with the same seed") {
    const std::vector<std::string> command{program("generate"), "--run", folder,   "--prompt", "The ",
                                           "--tokens",          "50",    "--seed", "4"};
    const ProcessResult one = run(command), two = run(command);
    REQUIRE_MESSAGE(one.exit_code == 0, one.err);
    CHECK(one.out.starts_with("The "));
    CHECK(one.out == two.out);
    std::vector<std::string> other = command;
    other.back() = "5";
    CHECK(run(other).out != one.out);
  }
  SUBCASE("a finished run says so and exits 0") {
    const ProcessResult again = run(workspace.train("run", {"--resume"}));
    CHECK(again.exit_code == 0);
    CHECK(again.err.find("finished") != std::string::npos);
  }
  SUBCASE("starting again in its folder is an error and changes nothing") {
    const std::string before = read_file(folder + "/log.jsonl");
    const ProcessResult again = run(workspace.train("run"));
    CHECK(again.exit_code == 2);
    CHECK(ends_with_one_error(again.err));
    CHECK(read_file(folder + "/log.jsonl") == before);
  }
  SUBCASE("the weights start another run") {
    const ProcessResult tuned = run(workspace.train("tuned", {"--init-from", folder + "/model.safetensors"}));
    REQUIRE_MESSAGE(tuned.exit_code == 0, tuned.err);
    CHECK(lines_of(workspace.path("tuned") + "/eval.jsonl").front().at("val_loss") ==
          evaluations.back().at("val_loss"));
    const auto described = nlohmann::json::parse(read_file(workspace.path("tuned") + "/manifest.json"));
    CHECK(described.at("init_from").at("file") == "model.safetensors");
    CHECK(described.at("init_from").at("sha256") == sha256_of_file(folder + "/model.safetensors"));
    CHECK_FALSE(nlohmann::json::parse(read_file(folder + "/manifest.json")).contains("init_from"));
  }
}

TEST_CASE("the end of a document ends what is generated, and counts no bytes where it is evaluated") {
  const Workspace workspace;
  std::string documents;
  for (int i = 0; i < 3000; ++i) documents += "abcd\n\n";
  put_file(workspace.path("abcd.txt"), documents);
  const std::string tokens = workspace.path("abcd");
  REQUIRE(run({program("tokenize"), workspace.path("abcd.txt"), "--separator", "blank-line", "--tokenizer", "bytes",
               "--out", tokens})
              .exit_code == 0);
  const ProcessResult trained =
      run(workspace.train("run", {"--set", "data.train=" + tokens + "/train_*.bin", "--set",
                                  "data.val=" + tokens + "/val_*.bin", "--set", "optimizer.learning_rate=0.01"}));
  REQUIRE_MESSAGE(trained.exit_code == 0, trained.err);

  const ProcessResult text =
      run({program("generate"), "--run", workspace.path("run"), "--prompt", "a", "--temperature", "0"});
  REQUIRE_MESSAGE(text.exit_code == 0, text.err);
  CHECK(text.out == "abcd\n\n");
  // Where nothing is given a document begins; of one token the temperature has nothing to choose from.
  const ProcessResult whole =
      run({program("generate"), "--run", workspace.path("run"), "--prompt", "", "--temperature", "50", "--top-k", "1"});
  CHECK(whole.out == "abcd\n\n");

  // Of the window's 33 tokens every sixth ends a text, the first among them: five of its 32 targets.
  const ProcessResult result = run({program("evaluate"), "--run", workspace.path("run"), "--tokens", "32", "--json"});
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  const auto json = nlohmann::json::parse(result.out);
  CHECK(json.at("bits_per_byte").get<double>() ==
        doctest::Approx(json.at("val_loss").get<double>() / std::log(2.0) * 32 / 27));
}

TEST_CASE("a pipe has no known length, so its progress has no percentage") {
  const TemporaryFolder folder;
  std::string text;
  for (int line = 0; line < 100'000; ++line) text += "the same words once more\n";
  ProcessOptions options;
  options.input = text;
  const std::string out = folder / "tokens";
  const ProcessResult result =
      run({program("tokenize"), "/dev/stdin", "--tokenizer", "bytes", "--val-fraction", "0", "--out", out}, options);
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  CHECK_MESSAGE(result.err.find('%') == std::string::npos, result.err);
}

TEST_CASE("--plan prints and trains nothing, for models larger than this machine") {
  for (const char* preset :
       {"nano", "micro", "paper-compact", "paper-full", "gpt2-124m", "gpt2-350m", "gpt2-774m", "gpt2-1558m"}) {
    CAPTURE(preset);
    const ProcessResult result = run({program("train"), preset, "--plan", "--set", "model.vocab=50257"});
    CHECK_MESSAGE(result.exit_code == 0, result.err);
    CHECK(result.out.find("FLOPs per token") != std::string::npos);
  }
}

TEST_CASE("--device ref, cpu and check tell the same story") {
  const Workspace workspace;
  std::vector<double> losses;
  for (const char* device : {"ref", "cpu", "check"}) {
    const ProcessResult result =
        run(workspace.train(device, {"--device", device, "--set", "run.steps=3", "--set", "run.eval_tokens=64"}));
    REQUIRE_MESSAGE(result.exit_code == 0, result.err);
    losses.push_back(lines_of(workspace.path(device) + "/log.jsonl").back().at("loss"));
  }
  CHECK(losses[0] == doctest::Approx(losses[1]).epsilon(1e-4));
  CHECK(losses[1] == losses[2]);  // check runs cpu, with ref looking on
}

TEST_CASE("--profile prints every op of the step") {
  const Workspace workspace;
  const ProcessResult result = run(workspace.train("profiled", {"--profile", "--set", "run.steps=3"}));
  REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  for (const char* op : {"linear", "attention_flash_backward", "classifier_gradient", "adamw", "GFLOP/s", "ceiling"}) {
    CHECK_MESSAGE(result.out.find(op) != std::string::npos, op);
  }
}
