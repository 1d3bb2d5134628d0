// A small tokenised corpus and the command lines that the end-to-end tests share.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/harness/files.h"
#include "tests/harness/process.h"

namespace isoloss::test {

class Workspace {
 public:
  Workspace() {
    const ProcessResult result =
        run({program("tokenize"), "builtin:stories:1", "--tokenizer", "bytes", "--out", tokens()});
    REQUIRE_MESSAGE(result.exit_code == 0, result.err);
  }

  std::string tokens() const { return folder_ / "tokens"; }
  std::string path(const std::string& name) const { return folder_ / name; }

  /// train with a tiny nano; further arguments follow.
  std::vector<std::string> train(const std::string& out, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command{program("train"), "nano", "--out", path(out), "--threads", "1"};
    for (const char* set : {"model.layers=2", "model.width=32", "model.heads=2", "model.context=32", "run.steps=40",
                            "run.micro_batch=4", "run.batch_tokens=128", "run.eval_every=10", "run.eval_tokens=640",
                            "run.checkpoint_every=4", "run.log_every=1"}) {
      command.insert(command.end(), {"--set", set});
    }
    command.insert(command.end(), {"--set", "data.train=" + tokens() + "/train_*.bin", "--set",
                                   "data.val=" + tokens() + "/val_*.bin"});
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  /// suite.toml: two variants and an arm, two seeds, six runs.
  void write_suite(int steps) const {
    put_file(path("suite.toml"), R"(extends = "nano"
seeds = [1, 2]
[data]
train = "tokens/train_*.bin"
val = "tokens/val_*.bin"
[model]
layers = 1
heads = 2
width = 16
context = 32
[run]
steps = )" + std::to_string(steps) +
                                     R"(
batch_tokens = 64
micro_batch = 2
eval_every = 10
eval_tokens = 320
checkpoint_every = 7
log_every = 1
[[scale]]
name = "a"
[[variant]]
name = "baseline"
class = "baseline"
set = ["model.norm=none", "model.final_norm=layernorm"]
[[variant]]
name = "rope"
class = "compute-independent"
set = ["model.positions=rope"]
)");
  }

  /// sweep with that suite, quiet, one thread; further arguments follow.
  std::vector<std::string> sweep(const std::string& out, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command{program("sweep"), path("suite.toml"), "--out", path(out), "--threads", "1",
                                     "--quiet"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace isoloss::test
