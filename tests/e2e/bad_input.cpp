// A corpus of bad inputs: each ends with its one-line error and the right exit code, and leaves nothing behind.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "kernels/base/file.h"
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
      {"id beyond the vocabulary in validation data",
       {"--set", "data.val=" + workspace.path("beyond.bin")},
       2,
       "beyond.bin token 0] expected an id below the vocabulary of 257, got 599"},
      {"id beyond the vocabulary in the second of two validation shards",
       {"--set", "data.val=[\"" + workspace.tokens() + "/val_000000.bin\", \"" + workspace.path("beyond.bin") + "\"]"},
       2,
       "beyond.bin token 0]"},
      {"vocabulary against the tokenizer", {"--set", "model.vocab=300"}, 2, "model.vocab"},
      {"context longer than the data",
       {"--set", "model.context=4096000", "--set", "run.batch_tokens=4096000", "--set", "run.micro_batch=1", "--set",
        "run.eval_tokens=0"},
       2,
       "4096001 tokens"},
      {"weights for a run that goes on", {"--resume", "--init-from", "w.safetensors"}, 2, "--init-from"},
      {"weights without a name", {"--init-from", ""}, 2, "[--init-from] expected "},
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
  check_bad({program("train"), "nano", "--out", ""}, 2, "[--out] expected ");
  check_bad({program("generate"), "--run", ""}, 2, "[--run] expected ");
  for (const std::string option : {"--run", "--weights", "--config", "--data"}) {
    check_bad({program("evaluate"), option, ""}, 2, "[" + option + "] expected ");
  }
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
    CHECK_MESSAGE(ends_with_one_error(unknown.err), unknown.err);
    CHECK(std::count(unknown.err.begin(), unknown.err.end(), '\n') == 1);
    CHECK(unknown.err.find(std::string("; see ") + name + " --help\n") != std::string::npos);
    const ProcessResult help = run({program(name), "--help"});
    CHECK(help.exit_code == 0);
    CHECK(help.out.find("Example") != std::string::npos);
    const ProcessResult version = run({program(name), "--version"});
    CHECK(version.exit_code == 0);
    CHECK(version.out.find("isoloss") != std::string::npos);
  }
}

TEST_CASE("names that are not UTF-8, which no record could hold") {
  const Workspace workspace;
  check_bad(workspace.train("r\xff"), 2, "[--out] expected a path in UTF-8");
  const std::string odd = workspace.path("t\xff");
  fs::copy(workspace.tokens(), odd, fs::copy_options::recursive);
  check_bad(workspace.train("run", {"--set", "data.train=" + odd + "/train_*.bin"}), 2,
            "[data] expected paths in UTF-8");
  fs::copy_file(odd + "/val_000000.bin", workspace.tokens() + "/val_\xff.bin");
  check_bad(workspace.train("run"), 2, "[data] expected a path in UTF-8");
  CHECK_FALSE(fs::exists(workspace.path("run")));
}

TEST_CASE("names that no file system takes are refused before anything runs") {
  const Workspace workspace;
  const std::string name(300, 'n'), long_name = workspace.path(name);
  std::string long_path = workspace.path("p");
  while (long_path.size() < 3990) long_path += "/" + std::string(100, 'p');
  const std::vector<std::pair<std::vector<std::string>, const char*>> commands{
      {workspace.train(name), "--out"},
      {{program("tokenize"), "builtin:stories:1", "--tokenizer", "bytes", "--out", long_name}, "--out"},
      {{program("tokenize"), "builtin:stories:1", "--tokenizer", "bytes", "--out", long_path}, "--out"},
      {{program("ceg"), workspace.path("none"), "--baseline", "b", "--report", long_name}, "--report"}};
  for (const auto& [command, mentions] : commands) {
    CAPTURE(command[0]);
    check_bad(command, 2, mentions);
    check_bad(command, 2, command.back() == long_path ? "expected a path of at most" : "expected names of at most 255");
  }
  CHECK_FALSE(fs::exists(workspace.path("p")));
  CHECK_FALSE(fs::exists(workspace.path("o")));
  check_bad({program("train"), "/dev/zero", "--plan"}, 2, "[/dev/zero] expected a file, got a device");
  check_bad({program("sweep"), "/dev/zero", "--out", workspace.path("o")}, 2, "expected a file, got a device");
  check_bad({program("ceg"), "/dev/zero", "--baseline", "b"}, 2, "expected a file or a pipe, got a device");
  check_bad(workspace.train("z", {"--set", "data.val=/dev/zero"}), 2, "[/dev/zero] expected a file, got a device");
}

TEST_CASE("a model that no memory here holds is one line, before anything is allocated") {
  const Workspace workspace;
  check_bad(workspace.train("large", {"--set", "model.width=8388608"}), 2, "of at most 1 TiB");
  check_bad(workspace.train("large", {"--set", "model.width=65536", "--set", "model.layers=100"}), 2,
            "[memory] expected a run that fits into the ");
  check_bad(workspace.train("large", {"--set", "model.layers=65536"}), 2, "an integer from 1 to 10000");
  CHECK_FALSE(fs::exists(workspace.path("large")));
}

TEST_CASE("what is surely not meant is warned of, in the plan, too") {
  const Workspace workspace;
  const auto messages = [](const std::vector<std::string>& command) {
    const ProcessResult result = run(command);
    CHECK_MESSAGE(result.exit_code == 0, result.err);
    return result.err;
  };
  const std::vector<std::string> late{"--set", "schedule.warmup_steps=40"}, usual{"--set", "schedule.warmup_steps=4"};
  const std::string mark = "warning: schedule.warmup_steps (40) is not below run.steps (40): ";
  const std::string trained = messages(workspace.train("late", late));
  CHECK(trained.find(mark) != std::string::npos);
  CHECK(trained.find("warning: ", trained.find(mark) + 1) == std::string::npos);
  std::vector<std::string> plan = late;
  plan.push_back("--plan");
  CHECK(messages(workspace.train("plan", plan)).find(mark) != std::string::npos);
  CHECK(messages(workspace.train("usual", usual)).find("warning: ") == std::string::npos);
  std::vector<std::string> more = usual;
  more.insert(more.end(), {"--set", "run.eval_tokens=100000000"});
  CHECK(
      messages(workspace.train("more", more)).find("warning: run.eval_tokens (100000000) is beyond the validation ") !=
      std::string::npos);
}

TEST_CASE("wrong usage: the line names the option, what it takes and what it got") {
  check_bad({program("tokenize")}, 2, "error: [--tokenizer] expected a value, got nothing; see tokenize --help");
  check_bad({program("ceg"), "a.csv", "--baseline", "b", "--nonsense"}, 2,
            "error: [--nonsense] expected options and arguments of ceg, got another");
  check_bad({program("train"), "nano", "--out", "a", "--out", "b"}, 2, "[--out] expected it once, got it 2 times");
  check_bad({program("train"), "nano", "--out"}, 2, "[--out] expected a value, got none");
  check_bad({program("train"), "nano", "--threads", "-1"}, 2,
            "[--threads] expected a whole number from 0 to 4096, got -1");
  check_bad({program("train"), "nano", "--threads", "1.5"}, 2, "[--threads]");
  check_bad({program("train"), "no\nsuch.toml"}, 2, "no\\x0asuch.toml");  // one line all the same
  check_bad({program("tokenize"), "--tokenizer", "bytes", "--ids", "--seed", "3"}, 2,
            "[--seed] expected it without --ids, which writes no shards, got both");
  check_bad({program("tokenize"), "--tokenizer", "bytes", "x", "--out", "y", "--seed", "-1"}, 2, "[--seed]");
  check_bad({program("tokenize"), "--tokenizer", "bytes", "x", "--out", "y", "--val-fraction", "half"}, 2,
            "[--val-fraction] expected a number, got half");
  for (const char* tokenizer : {"", "gpt2", "gpt2:", "byte"}) {
    check_bad({program("tokenize"), "--tokenizer", tokenizer, "--ids"}, 2, "[--tokenizer] expected bytes, gpt2:DIR, ");
  }
  check_bad({program("evaluate"), "--run", "r", "--tokens", "99999999999999999999"}, 2, "[--tokens]");
  check_bad({program("generate"), "--run", "r", "--temperature", "nan"}, 2, "[--temperature]");
  check_bad({program("generate"), "--run", "r", "--seed", "-1"}, 2, "[--seed]");
  check_bad({program("sweep"), "s.toml", "--out", "o", "--jobs", "0"}, 2, "[--jobs]");
  check_bad({program("ceg"), "a.csv", "--baseline", "b", "--resamples", "1e9"}, 2, "[--resamples]");
}

TEST_CASE("streams that take nothing: results are missed, messages are not") {
  const Workspace workspace;
  const auto shell = [](const std::vector<std::string>& command, const std::string& redirection) {
    std::string line;
    for (const std::string& word : command) line += "'" + word + "' ";
    return run({"/bin/sh", "-c", line + redirection});
  };
  for (const char* redirection : {"2>/dev/full", "2>&-"}) {
    CAPTURE(redirection);
    CHECK(shell({program("ceg"), workspace.path("nothing"), "--baseline", "b"}, redirection).exit_code == 2);
    const std::string out = redirection[2] == '&' ? "closed" : "full";
    CHECK(shell(workspace.train(out), redirection).exit_code == 0);
    const std::string log = read_file(workspace.path(out) + "/log.jsonl");
    CHECK(std::count(log.begin(), log.end(), '\n') == 40);  // and no message among the lines
    CHECK(log.starts_with("{\"step\":1,"));
  }
  const std::vector<std::vector<std::string>> printing{
      {program("train"), "--help"},
      {program("ceg"), "--version"},
      workspace.train("plan", {"--plan"}),
      {program("evaluate"), "--run", workspace.path("full")},
      {program("generate"), "--run", workspace.path("full"), "--tokens", "3"}};
  for (const auto& command : printing) {
    for (const char* redirection : {">/dev/full", ">&-"}) {
      const ProcessResult result = shell(command, redirection);
      CHECK_MESSAGE(result.exit_code == 1, result.err);
      CHECK_MESSAGE(ends_with_one_error(result.err), result.err);
      CHECK_MESSAGE(result.err.find("[standard output] expected room to write the result") != std::string::npos,
                    result.err);
    }
  }
}

TEST_CASE("evaluate and generate: text of another tokenizer, and a run that is not there") {
  const Workspace workspace;
  REQUIRE(run(workspace.train("run")).exit_code == 0);
  const std::string run_folder = workspace.path("run");
  check_bad({program("evaluate"), "--run", run_folder, "--tokens", "5"}, 2, "[--tokens]");
  for (const char* name : {"evaluate", "generate"}) {  // both can have their operations checked, as train can
    const ProcessResult checked = run({program(name), "--run", run_folder, "--device", "check", "--tokens", "32"});
    CHECK_MESSAGE(checked.exit_code == 0, checked.err);
  }
  put_file(workspace.path("beyond.bin"), read_file(workspace.tokens() + "/val_000000.bin"));
  {
    std::fstream shard(workspace.path("beyond.bin"), std::ios::in | std::ios::out | std::ios::binary);
    shard.seekp(1024 + 2 * 70).write("\x57\x02", 2);  // token 70, behind what is evaluated
  }
  check_bad({program("evaluate"), "--run", run_folder, "--data", workspace.tokens() + "/train_000000.bin",
             workspace.path("beyond.bin"), "--tokens", "32"},
            2, "beyond.bin token 70] expected an id below the vocabulary of 257, got 599");
  // The same ids, beside a tokenizer that does not know them all.
  const std::string other = workspace.path("other");
  REQUIRE(run({program("tokenize"), "builtin:stories:1", "--tokenizer", "bpe:300", "--out", other}).exit_code == 0);
  check_bad({program("evaluate"), "--run", run_folder, "--data", other + "/val_000000.bin"}, 2,
            "expected tokens of the tokenizer of the run");
  fs::copy_file(other + "/tokenizer.json", workspace.tokens() + "/tokenizer.json",
                fs::copy_options::overwrite_existing);
  check_bad({program("generate"), "--run", run_folder, "--prompt", "the"}, 2, "expected the tokenizer of the run");
}

TEST_CASE("evaluate and generate: what is not there") {
  const Workspace workspace;
  check_bad({program("evaluate"), "--run", workspace.path("nothing")}, 2, "nothing");
  check_bad({program("evaluate"), "--weights", "x.safetensors"}, 2, "--run");
  check_bad({program("generate"), "--run", workspace.path("nothing"), "--prompt", "x"}, 2, "nothing");
}

TEST_CASE("paths that lead nowhere are wrong input, whichever option names them") {
  const Workspace workspace;
  const std::string loop = workspace.path("loop"), text = workspace.path("a.txt");
  fs::create_symlink("loop", loop);
  put_file(text, "some text\n");
  const auto tokenize = [&](const std::string& input, const std::string& tokenizer) {
    return std::vector<std::string>{program("tokenize"), input,   "--tokenizer",
                                    tokenizer,           "--out", workspace.path("out")};
  };
  for (const std::string& path : {loop, loop + "/deeper", workspace.path(std::string(300, 'x')), text + "/deeper"}) {
    CAPTURE(path);
    check_bad(tokenize(path, "bytes"), 2, path.substr(path.size() - 5));
    check_bad(tokenize(text, path), 2, path.substr(path.size() - 5));
    check_bad({program("evaluate"), "--run", path}, 2, "] expected");
    check_bad({program("generate"), "--run", path, "--prompt", "x"}, 2, "] expected");
    check_bad({program("evaluate"), "--weights", path, "--config", "nano", "--data", text}, 2, "] expected");
    check_bad(workspace.train("run", {"--init-from", path}), 2, "] expected");
    check_bad(workspace.train("run", {"--set", "data.train=" + path}), 2, "] expected");
  }
  CHECK_FALSE(fs::exists(workspace.path("out")));
  CHECK_FALSE(fs::exists(workspace.path("run")));
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
