// A corpus of bad inputs: each ends with its one-line error and the right exit code, and leaves nothing behind.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "tests/e2e/fixture.h"

using namespace isoloss;
using namespace isoloss::test;
namespace fs = std::filesystem;

namespace {
struct BadInput {
  const char* what;
  std::vector<std::string> more;  ///< arguments after the good command
  int exit_code;
  const char* mentions;
};

void check_bad(const std::vector<std::string>& command, int exit_code, const std::string& mentions) {
  const ProcessResult result = run(command);
  CHECK_MESSAGE(result.exit_code == exit_code, result.err);
  CHECK_MESSAGE(ends_with_one_error(result.err), result.err);
  CHECK_MESSAGE(result.err.find(mentions) != std::string::npos, result.err);
}
}  // namespace

TEST_CASE("train: bad configurations and data") {
  const Workspace workspace;
  put_file(workspace.path("foreign.bin"), std::string(1024, 'x') + "yy");
  put_file(workspace.path("odd.bin"), "abc");
  std::string header(1024, '\0');
  const auto put_int = [&](int at, std::int32_t value) { std::memcpy(header.data() + 4 * at, &value, 4); };
  put_int(0, 20240520), put_int(1, 1), put_int(2, 1000);
  put_file(workspace.path("truncated.bin"), header + std::string(100, '\1'));
  put_int(2, 200);
  std::string ids;
  for (int i = 0; i < 200; ++i) ids += std::string("\x57\x02", 2);  // 599 where the vocabulary ends at 257
  put_file(workspace.path("beyond.bin"), header + ids);
  put_file(workspace.path("broken.toml"), "[model\nlayers = 2\n");
  put_file(workspace.path("cycle.toml"), "extends = \"cycle.toml\"\n");

  const std::vector<BadInput> corpus{
      {"unknown key", {"--set", "model.layer=2"}, 2, "model.layer"},
      {"ill-typed key", {"--set", "model.layers=two"}, 2, "model.layers"},
      {"unknown value", {"--set", "model.norm=batchnorm"}, 2, "batchnorm"},
      {"no equals sign", {"--set", "model.norm"}, 2, "--set"},
      {"indivisible heads", {"--set", "model.heads=3"}, 2, "heads"},
      {"indivisible key heads", {"--set", "model.heads=4", "--set", "model.kv_heads=3"}, 2, "kv_heads"},
      {"out of range", {"--set", "model.dropout=1.5"}, 2, "model.dropout"},
      {"negative steps", {"--set", "run.steps=-1"}, 2, "run.steps"},
      {"batch that does not divide", {"--set", "run.batch_tokens=100"}, 2, "run.batch_tokens"},
      {"window as long as the context", {"--set", "model.window=32"}, 2, "model.window"},
      {"theta without rope",
       {"--set", "model.positions=learned", "--set", "model.rope_theta=500"},
       2,
       "model.rope_theta"},
      {"cudnn on a processor", {"--set", "model.attention=cudnn"}, 2, "model.attention"},
      {"cudnn with dropout", {"--set", "model.attention=cudnn", "--set", "model.dropout=0.1"}, 2, "model.dropout"},
      {"lstm", {"--set", "model.kind=lstm"}, 2, "model.kind"},
      {"bf16 on a processor", {"--set", "run.precision=bf16"}, 2, "run.precision"},
      {"no cuda here", {"--device", "cuda"}, 1, "--device"},
      {"unknown device", {"--device", "abacus"}, 2, "--device"},
      {"missing shards", {"--set", "data.train=nowhere_*.bin"}, 2, "nowhere_"},
      {"foreign shard", {"--set", "data.train=" + workspace.path("foreign.bin")}, 2, "foreign.bin"},
      {"odd shard", {"--set", "data.train=" + workspace.path("odd.bin")}, 2, "odd.bin"},
      {"truncated shard", {"--set", "data.train=" + workspace.path("truncated.bin")}, 2, "truncated.bin"},
      {"id beyond the vocabulary", {"--set", "data.train=" + workspace.path("beyond.bin")}, 2, "beyond.bin"},
      {"vocabulary against the tokenizer", {"--set", "model.vocab=300"}, 2, "model.vocab"},
      {"context longer than the data",
       {"--set", "model.context=4096000", "--set", "run.batch_tokens=4096000", "--set", "run.micro_batch=1", "--set",
        "run.eval_tokens=0"},
       2,
       "4096001 tokens"},
      {"weights for a run that goes on", {"--resume", "--init-from", "w.safetensors"}, 2, "--init-from"},
      {"missing weights", {"--init-from", workspace.path("none.safetensors")}, 2, "none.safetensors"},
      {"foreign weights", {"--init-from", workspace.path("foreign.bin")}, 2, "foreign.bin"},
      {"resume without a run", {"--resume"}, 2, "manifest.json"},
  };
  for (const BadInput& bad : corpus) {
    CAPTURE(bad.what);
    check_bad(workspace.train("bad", bad.more), bad.exit_code, bad.mentions);
    CHECK_FALSE(fs::exists(workspace.path("bad")));
  }
  check_bad({program("train"), workspace.path("broken.toml")}, 2, "broken.toml");
  check_bad({program("train"), workspace.path("cycle.toml")}, 2, "cycle.toml");
  check_bad({program("train"), "no-such-preset"}, 2, "no-such-preset");
}

TEST_CASE("an output folder that cannot be written is a runtime error") {
  const Workspace workspace;
  put_file(workspace.path("file"), "not a folder");
  const ProcessResult result = run(workspace.train("file/run"));
  CHECK(result.exit_code == 1);
  CHECK_MESSAGE(ends_with_one_error(result.err), result.err);
}

TEST_CASE("wrong usage: exit 2 and a pointer to --help") {
  for (const char* name : {"tokenize", "train", "evaluate", "generate", "sweep", "ceg"}) {
    CAPTURE(name);
    const ProcessResult unknown = run({program(name), "--no-such-option"});
    CHECK(unknown.exit_code == 2);
    CHECK(unknown.err.starts_with("error: "));
    CHECK(std::count(unknown.err.begin(), unknown.err.end(), '\n') == 1);
    const ProcessResult help = run({program(name), "--help"});
    CHECK(help.exit_code == 0);
    CHECK(help.out.find("Example") != std::string::npos);
    const ProcessResult version = run({program(name), "--version"});
    CHECK(version.exit_code == 0);
    CHECK(version.out.find("isoloss") != std::string::npos);
  }
}

TEST_CASE("evaluate and generate: what is not there") {
  const Workspace workspace;
  check_bad({program("evaluate"), "--run", workspace.path("nothing")}, 2, "nothing");
  check_bad({program("evaluate"), "--weights", "x.safetensors"}, 2, "--run");
  check_bad({program("generate"), "--run", workspace.path("nothing"), "--prompt", "x"}, 2, "nothing");
}

TEST_CASE("an instruction that the processor lacks is one line, too") {
  const Workspace workspace;
  ProcessOptions options;
  options.signal = SIGILL;
  options.signal_when = [&] { return fs::exists(workspace.path("run") + "/log.jsonl"); };
  const ProcessResult result = run(workspace.train("run", {"--set", "run.steps=100000"}), options);
  CHECK(result.signal == 0);
  CHECK(result.exit_code == 1);
  CHECK_MESSAGE(ends_with_one_error(result.err), result.err);
}
