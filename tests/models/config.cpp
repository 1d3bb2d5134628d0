#include "models/config.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/tokenizer.h"
#include "kernels/base/philox.h"
#include "models/config_check.h"
#include "models/config_keys.h"
#include "tests/harness/files.h"

using namespace isoloss;
using isoloss::test::error_of;
using isoloss::test::put_file;
using isoloss::test::TemporaryFolder;

namespace {

std::vector<Override> sets(const std::vector<std::string>& texts) {
  std::vector<Override> overrides;
  for (const std::string& text : texts) overrides.push_back({text});
  return overrides;
}

/// The configuration of a file with this content.
Configuration load(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  const TemporaryFolder folder;
  put_file(folder / "c.toml", toml);
  return load_configuration((folder / "c.toml").string(), sets(overrides));
}

/// The error of a file with this content, its folder's name replaced by DIR.
std::string load_error(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  const TemporaryFolder folder;
  put_file(folder / "c.toml", toml);
  std::string error = error_of([&] { load_configuration((folder / "c.toml").string(), sets(overrides)); });
  for (std::size_t at; (at = error.find(folder.path().string())) != std::string::npos;) {
    error.replace(at, folder.path().string().size(), "DIR");
  }
  return error;
}

std::string set_error(const std::string& text) {
  return error_of([&] { load_configuration("nano", sets({text})); });
}

}  // namespace

TEST_CASE("presets load, and are what the contract says") {
  CHECK(preset_names() == std::vector<std::string>{"gpt2-124m", "gpt2-1558m", "gpt2-350m", "gpt2-774m", "micro", "nano",
                                                   "paper-compact", "paper-full"});
  struct Shape {
    const char* name;
    std::int64_t layers, heads, width, context, vocab;
    double dropout;
  };
  for (const Shape& shape :
       {Shape{"nano", 4, 4, 128, 64, 0, 0}, Shape{"micro", 6, 6, 384, 256, 0, 0},
        Shape{"paper-compact", 6, 6, 384, 512, 0, 0.2}, Shape{"paper-full", 10, 12, 768, 1024, 0, 0.4},
        Shape{"gpt2-124m", 12, 12, 768, 1024, 50257, 0}, Shape{"gpt2-350m", 24, 16, 1024, 1024, 50257, 0},
        Shape{"gpt2-774m", 36, 20, 1280, 1024, 50257, 0}, Shape{"gpt2-1558m", 48, 25, 1600, 1024, 50257, 0}}) {
    INFO(shape.name);
    const Configuration configuration = load_configuration(shape.name);
    CHECK(configuration.model.layers == shape.layers);
    CHECK(configuration.model.heads == shape.heads);
    CHECK(configuration.model.kv_heads == shape.heads);
    CHECK(configuration.model.width == shape.width);
    CHECK(configuration.model.context == shape.context);
    CHECK(configuration.model.vocab == shape.vocab);
    CHECK(configuration.model.dropout == shape.dropout);
    CHECK(configuration.run.data.train.empty());
    CHECK(configuration.explicit_keys.empty());
  }
}

TEST_CASE("defaults follow from other keys") {
  const Configuration plain = load("[model]\nheads = 8\nwidth = 64\ncontext = 32\n[run]\nmicro_batch = 3\nsteps = 70");
  CHECK(plain.model.kv_heads == 8);
  CHECK(plain.model.final_norm == Norm::layernorm);
  CHECK(plain.run.run.batch_tokens == 96);
  CHECK(plain.run.schedule.decay_steps == 70);
  CHECK(plain.model.vocab == 0);
  CHECK(load("model.norm = 'rmsnorm'").model.final_norm == Norm::rmsnorm);
  CHECK(load("model.norm = 'none'").model.final_norm == Norm::none);
  CHECK(load("model.norm_position = 'post'").model.final_norm == Norm::none);
  CHECK(load("model.norm_position = 'post'\nmodel.final_norm = 'rmsnorm'").model.final_norm == Norm::rmsnorm);
  CHECK(load("model.norm = 'none'\nmodel.final_norm = 'layernorm'").model.final_norm == Norm::layernorm);
  CHECK(load("", {"run.batch_tokens=128", "run.micro_batch=2"}).run.run.batch_tokens == 128);

  ModelSpec spec;
  spec.width = 96, spec.mlp_ratio = 2.665;  // 255.84
  CHECK(spec.hidden() == 256);
  for (const auto& [vocab, padded] : {std::pair{1, 64}, {64, 64}, {65, 128}, {50257, 50304}}) {
    spec.vocab = vocab;
    CHECK(spec.padded_vocab() == padded);
  }
}

TEST_CASE("layers: extended files, the file, then --set, and only the last two are explicit") {
  const TemporaryFolder folder;
  put_file(folder / "a/base.toml",
           "extends = 'nano'\n[model]\nwidth = 256\nheads = 2\n[data]\ntrain = 'shards/*.bin'\nval='/v.bin'");
  put_file(folder / "b/top.toml", "extends = '../a/base.toml'\n[model]\nheads = 8\n[run]\nsteps = 5");
  const Configuration configuration =
      load_configuration((folder / "b/top.toml").string(), sets({"run.steps=7", " run.seed = 9 ", "data.val=x.bin"}));
  CHECK(configuration.model.layers == 4);  // nano's
  CHECK(configuration.model.width == 256);
  CHECK(configuration.model.heads == 8);
  CHECK(configuration.run.run.steps == 7);
  CHECK(configuration.run.run.seed == 9);
  REQUIRE(configuration.run.data.train.size() == 1);
  const std::filesystem::path shards = configuration.run.data.train[0];
  CHECK(shards.is_relative());
  CHECK(std::filesystem::absolute(shards).lexically_normal() == folder / "a/shards/*.bin");
  CHECK(configuration.run.data.val == std::vector<std::string>{"x.bin"});
  CHECK(configuration.explicit_keys == std::set<std::string>{"data.val", "model.heads", "run.seed", "run.steps"});

  Override elsewhere{"data.train=[\"t.bin\", \"/u.bin\"]"};
  elsewhere.folder = "suites";
  CHECK(load_configuration("nano", {elsewhere}).run.data.train == std::vector<std::string>{"suites/t.bin", "/u.bin"});
}

TEST_CASE("--set takes TOML values and bare words") {
  const auto with = [](const std::string& text) { return load_configuration("nano", sets({text})); };
  CHECK(with("model.norm=none").model.norm == Norm::none);
  CHECK(with("model.norm=\"rmsnorm\"").model.norm == Norm::rmsnorm);
  CHECK(with("model.positions=learned+rope").model.positions == Positions::learned_rope);
  CHECK(with("optimizer.learning_rate=1e-3").run.optimizer.learning_rate == 1e-3);
  CHECK(with("optimizer.learning_rate=1").run.optimizer.learning_rate == 1);
  CHECK(with("model.bias=false").model.bias == false);
  CHECK(with("run.steps=1_000").run.run.steps == 1000);
  CHECK(with("data.train=a=b.bin").run.data.train == std::vector<std::string>{"a=b.bin"});
  CHECK(with("data.train=2024").run.data.train == std::vector<std::string>{"2024"});
  CHECK(with("run.precision=bf16").run.run.precision == Precision::bf16);
  CHECK(with("data.sampling=sequential").run.data.sampling == Sampling::sequential);
  CHECK(set_error("model.norm") == "2 [--set model.norm] expected key=value, got no equals sign");
  CHECK(set_error("model.norm=") == "2 [--set model.norm=] expected layernorm, rmsnorm or none, got nothing");
  CHECK(set_error("model.norm=batch") ==
        "2 [--set model.norm=batch] expected layernorm, rmsnorm or none, got \"batch\"");
  CHECK(set_error("run.steps=many") ==
        "2 [--set run.steps=many] expected an integer from 1 to 2147483647, got \"many\"");
  CHECK(set_error("run.steps=1e3") == "2 [--set run.steps=1e3] expected an integer from 1 to 2147483647, got 1000.0");
  CHECK(set_error("run.steps=1\nrun.seed=2").substr(0, 12) == "2 [--set run");
  Override suite{"model.nrom=none", "suite.toml variant layernorm"};
  CHECK(error_of([&] { load_configuration("nano", {suite}); }) ==
        "2 [suite.toml variant layernorm model.nrom=none] expected a known key (did you mean model.norm?), got "
        "model.nrom");
}

TEST_CASE("unknown and ill-typed keys name file, line and key, and suggest the nearest") {
  CHECK(load_error("[model]\nlayers = 2\nnrom = 'none'") ==
        "2 [DIR/c.toml:3] expected a known key (did you mean model.norm?), got model.nrom");
  CHECK(load_error("steps = 3") == "2 [DIR/c.toml:1] expected a known key (did you mean run.steps?), got steps");
  CHECK(load_error("[modle]\nlayers = 2") ==
        "2 [DIR/c.toml:1] expected a known table (did you mean model?), got [modle]");
  CHECK(load_error("[zebra]") ==
        "2 [DIR/c.toml:1] expected one of the tables model, data, optimizer, schedule, run, got [zebra]");
  CHECK(load_error("model = 3") == "2 [DIR/c.toml:1] expected a known key, got model");
  CHECK(load_error("[model.norm]\nx = 1") ==
        "2 [DIR/c.toml:1 model.norm] expected layernorm, rmsnorm or none, got a value of TOML type table");
  CHECK(load_error("\nmodel.heads = 2.5") ==
        "2 [DIR/c.toml:2 model.heads] expected an integer from 1 to 65536, got 2.5");
  CHECK(load_error("model.bias = 1") == "2 [DIR/c.toml:1 model.bias] expected true or false, got 1");
  CHECK(load_error("model.norm = 1979-05-27").find("got a value of TOML type date") != std::string::npos);
  CHECK(load_error("data.train = [1, 2]").find("expected a path or glob, or an array of them") != std::string::npos);
  CHECK(load_error("data.train = ''").find("expected a path or glob, or an array of them") != std::string::npos);
  CHECK(load_error("extends = 3").find("DIR/c.toml:1 extends] expected the name of a preset or a path") !=
        std::string::npos);
  CHECK(load_error(std::string(5000, 'k') + " = 3").find("expected a known key, got kkk") != std::string::npos);
}

TEST_CASE("every key refuses what is out of its range, NaN and infinity included") {
  for (const ConfigKey& key : config_keys()) {
    INFO(key.name);
    CHECK_FALSE(load_error(key.name + " = {}").empty());
    if (!key.is_text && key.name != "model.bias" && key.name != "model.tie_embeddings") {
      for (const char* value : {"-1", "nan", "inf", "-inf", "true", "'x'", "[]"}) {
        INFO(value);
        CHECK(load_error(key.name + " = " + value).find("2 [DIR/c.toml:1 " + key.name + "] expected a") == 0);
      }
    } else if (!key.is_path && key.is_text) {
      CHECK(load_error(key.name + " = 'LayerNorm'").find(", got \"LayerNorm\"") != std::string::npos);
    }
  }
  CHECK_FALSE(load_error("model.dropout = 1.0").empty());
  CHECK_FALSE(load_error("schedule.final_fraction = 1.1").empty());
  CHECK_FALSE(load_error("optimizer.epsilon = 0").empty());
  // What is 0 or infinite in float32 would make 0 / 0 of a parameter without gradient, or of an angle.
  CHECK(load_error("optimizer.epsilon = 1e-60") ==
        "2 [DIR/c.toml:1 optimizer.epsilon] expected a number above 0 that float32 can hold, got 1e-60");
  CHECK_FALSE(load_error("model.positions = 'rope'\nmodel.rope_theta = 1e-60").empty());
  CHECK_FALSE(load_error("model.positions = 'rope'\nmodel.rope_theta = 1e60").empty());
  CHECK(load_error("model.positions = 'rope'\nmodel.rope_theta = 1e30").empty());
  CHECK_FALSE(load_error("model.width = 99999999999999999999").empty());  // beyond 64 bits: TOML itself refuses
}

TEST_CASE("files that are missing, malformed or cyclic") {
  CHECK(error_of([] { load_configuration("nanoo"); }) ==
        "2 [nanoo] expected a file or a preset (did you mean nano?), got nanoo");
  CHECK(error_of([] { load_configuration("none/such.toml"); }) ==
        "2 [none/such.toml] expected a configuration file, got none/such.toml, which is not there");
  CHECK(load_error("[model\nlayers = 2").find("2 [DIR/c.toml:1:") == 0);
  CHECK(load_error("model.layers = 2\nmodel.layers = 3").find("2 [DIR/c.toml:2:") == 0);
  CHECK(load_error("x = '\xff\xfe'").find("expected TOML, got an error") != std::string::npos);
  CHECK(load_error(std::string(100000, '[')).find("expected TOML, got ") != std::string::npos);
  CHECK(load_error("extends = 'c.toml'") ==
        "2 [DIR/c.toml extends] expected a chain of files without a cycle, got DIR/c.toml for the second time");
  CHECK(load_error("extends = 'other.toml'") ==
        "2 [DIR/c.toml:1 extends] expected a configuration file, got DIR/other.toml, which is not there");
  const TemporaryFolder folder;
  put_file(folder / "a.toml", "extends = 'b.toml'");
  put_file(folder / "b.toml", "extends = './x/../a.toml'");
  CHECK(error_of([&] { load_configuration((folder / "a.toml").string()); }).find("without a cycle") !=
        std::string::npos);
}

TEST_CASE("values that do not fit together name the key") {
  CHECK(load_error("model.width = 100\nmodel.heads = 3") ==
        "2 [model.width] expected a multiple of model.heads (3), got 100");
  CHECK(load_error("model.width = 64\nmodel.heads = 4\nmodel.kv_heads = 3") ==
        "2 [model.kv_heads] expected a divisor of model.heads (4), got 3");
  CHECK(load_error("model.width = 15\nmodel.heads = 3\nmodel.positions = 'rope'").find("2 [model.width]") == 0);
  CHECK(load_error("model.width = 15\nmodel.heads = 3\nmodel.positions = 'sinusoidal'").find("2 [model.width]") == 0);
  CHECK(load_error("model.width = 15\nmodel.heads = 3").empty());
  CHECK(load_error("model.mlp_ratio = 0.001").find("2 [model.mlp_ratio]") == 0);
  CHECK(load_error("model.context = 64\nrun.micro_batch = 2\nrun.batch_tokens = 192") ==
        "2 [run.batch_tokens] expected a multiple of run.micro_batch times model.context (2 * 64 = 128), got 192");
  CHECK(load_error("model.kind = 'lstm'") ==
        "2 [model.kind] expected transformer, since lstm is not available yet in this version, got lstm");
  CHECK(load_error("schedule.kind = 'wsd'\nschedule.decay_steps = 200\nrun.steps = 100")
            .find("2 [schedule.decay_steps]") == 0);
  CHECK(load_error("model.context = 16777216\nrun.micro_batch = 128") ==
        "2 [run.micro_batch] expected at most 127 sequences of model.context (16777216) tokens, got 128");
  CHECK(load_error("model.context = 16777216\nrun.micro_batch = 127").empty());
  CHECK(load_error("model.context = 64\nrun.eval_tokens = 63") ==
        "2 [run.eval_tokens] expected 0 (all) or at least one window of model.context (64) tokens, got 63");
  CHECK(load_error("model.context = 64\nrun.eval_tokens = 64").empty());
}

TEST_CASE("a toggle without effect is an error where it was set explicitly") {
  struct Case {
    const char *key, *value, *without, *with;
  };
  const Case cases[] = {{"model.rope_theta", "500", "model.positions=learned", "model.positions=rope"},
                        {"model.rope_theta", "500", "model.positions=none", "model.positions=learned+rope"},
                        {"model.norm_position", "'post'", "model.norm=none", "model.norm=rmsnorm"},
                        {"model.window", "64", "model.context=64", "model.context=65"},
                        {"model.window", "64", "model.context=32", "model.context=128"},
                        {"optimizer.beta2", "0.9", "optimizer.kind=sgd", "optimizer.kind=adamw"},
                        {"optimizer.epsilon", "1e-6", "optimizer.kind=sgd", "optimizer.kind=adamw"},
                        {"schedule.decay_steps", "50", "schedule.kind=constant", "schedule.kind=linear"},
                        {"schedule.final_fraction", "0.5", "schedule.kind=constant", "schedule.kind=wsd"}};
  const TemporaryFolder folder;
  for (const Case& example : cases) {
    INFO(example.key, " ", example.without);
    const std::string setting = std::string(example.key) + "=" + example.value;
    const std::string text = std::string(example.key) + " = " + example.value;
    CHECK(load_error("", {setting, example.without}).find("2 [" + std::string(example.key) + "] expected ") == 0);
    CHECK(load_error(text, {example.without}).find("2 [" + std::string(example.key) + "] expected ") == 0);
    CHECK(load_error("", {setting, example.with}).empty());
    // Brought along by an extended file, it is passed over.
    put_file(folder / "base.toml", text);
    put_file(folder / "top.toml", "extends = 'base.toml'");
    CHECK(error_of([&] { load_configuration((folder / "top.toml").string(), sets({example.without})); }).empty());
  }
  // The one pair of a head of width 2 turns by theta^0 a position.
  const std::vector<std::string> narrow = {"model.positions=rope", "model.rope_theta=500", "model.width=8"};
  CHECK(load_error("model.heads = 4", narrow).find("2 [model.rope_theta] expected heads wider than 2") == 0);
  CHECK(load_error("model.heads = 2", narrow).empty());
  // A trial of a few steps is no reason to take the schedule out.
  CHECK(load_error("schedule.kind = 'linear'\nschedule.warmup_steps = 100", {"run.steps=5"}).empty());
  put_file(folder / "base.toml", "model.window = 64");
  CHECK(load_configuration((folder / "top.toml").string(), sets({"model.context=32"})).model.window == 0);
  CHECK(load_configuration((folder / "top.toml").string(), sets({"model.context=128"})).model.window == 64);
}

TEST_CASE("to_json and from_json are inverse, for every key away from its default") {
  const TemporaryFolder folder;
  put_file(folder / "c.toml", R"(
[model]
layers = 3
heads = 6
kv_heads = 3
width = 96
context = 48
vocab = 257
norm = "rmsnorm"
norm_position = "post"
final_norm = "rmsnorm"
positions = "learned+rope"
rope_theta = 12345.678901234567
attention = "naive"
window = 7
mlp = "swiglu"
mlp_ratio = 2.6666666666666665
bias = false
dropout = 0.1
tie_embeddings = false
init_std = 0.03
[data]
train = ["data/t0.bin", "/abs/t1.bin"]
val = "../v*.bin"
sampling = "sequential"
[optimizer]
learning_rate = 3e-4
beta1 = 0.85
beta2 = 0.999
epsilon = 1e-7
weight_decay = 0.05
clip_norm = 0.5
[schedule]
kind = "wsd"
warmup_steps = 11
decay_steps = 22
final_fraction = 0.3
[run]
steps = 33
batch_tokens = 192
micro_batch = 2
seed = 9223372036854775807
eval_every = 5
eval_tokens = 480
log_every = 2
checkpoint_every = 7
keep_checkpoints = 4
precision = "bf16"
)");
  const Configuration configuration = load_configuration((folder / "c.toml").string());
  const Configuration defaults;
  for (const ConfigKey& key : config_keys()) {
    INFO(key.name);
    if (key.name != "model.kind" && key.name != "optimizer.kind") {  // one has no other value, one excludes other keys
      CHECK(key.get(configuration) != key.get(defaults));
    }
  }
  const auto record = folder / "runs/x";
  const std::string json = to_json(configuration, record);
  CHECK(json.find("\"../../data/t0.bin\"") != std::string::npos);
  CHECK(json.find("\"/abs/t1.bin\"") != std::string::npos);
  put_file(record / "manifest.json", "{\"config\": " + json + "}");
  const Configuration back = configuration_of_run(record);
  CHECK(to_json(back, record) == json);
  for (const ConfigKey& key : config_keys()) {
    INFO(key.name);
    if (!key.is_path) CHECK(key.get(back) == key.get(configuration));
  }
  // The same files, however they are spelt.
  CHECK(std::filesystem::absolute(back.run.data.train[0]).lexically_normal() == folder / "data/t0.bin");
  CHECK(back.run.data.train[1] == "/abs/t1.bin");

  const Configuration sgd = load("", {"optimizer.kind=sgd", "schedule.kind=constant"});
  CHECK(to_json(from_json(to_json(sgd, record), record, "m"), record) == to_json(sgd, record));
}

TEST_CASE("a manifest that is older than a key means what was there before the key") {
  Configuration capped = load_configuration("nano", {{"model.logit_softcap=30"}});
  std::string json = to_json(capped, "");
  CHECK(from_json(json, "", "m").model.logit_softcap == 30);
  const std::string line = ",\n    \"logit_softcap\": 30.0";
  REQUIRE(json.find(line) != std::string::npos);
  json.erase(json.find(line), line.size());
  CHECK(from_json(json, "", "m").model.logit_softcap == 0);
}

TEST_CASE("from_json refuses what is no configuration") {
  const std::string json = to_json(load_configuration("nano"), "");
  const auto error = [](const std::string& text) { return error_of([&] { from_json(text, "", "m.json"); }); };
  CHECK(error(json).empty());
  CHECK(error("") == "2 [m.json byte 1] expected JSON, got a syntax error");
  CHECK(error("[]") == "2 [m.json] expected a JSON object with the configuration, got something else");
  CHECK(error("{}") == "2 [m.json] expected the key model.kind, got none");
  CHECK(error(R"({"model":3})") == "2 [m.json] expected an object model, got something else");
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK(error(replaced("\"layers\": 4", "\"layres\": 4")) ==
        "2 [m.json] expected a known key (did you mean model.layers?), got model.layres");
  CHECK(error(replaced("\"layers\": 4,", "")) == "2 [m.json] expected the key model.layers, got none");
  CHECK(error(replaced("\"layers\": 4", "\"layers\": null")) ==
        "2 [m.json model.layers] expected an integer from 1 to 10000, got something else");
  CHECK(error(replaced("\"layers\": 4", "\"layers\": 18446744073709551615")).find("m.json model.layers") !=
        std::string::npos);
  CHECK(error(replaced("\"heads\": 4", "\"heads\": 5")).find("2 [model.width]") == 0);
}

TEST_CASE("the vocabulary comes from the tokenizer beside the shards") {
  const TemporaryFolder folder;
  const auto configured = [&](const std::string& shard, std::int64_t vocab) {
    put_file(folder / shard, std::string(10, '\0'));
    return load_configuration(
        "nano", sets({"data.train=" + (folder / shard).string(), "model.vocab=" + std::to_string(vocab)}));
  };
  Configuration none = configured("none/t.bin", 0);
  CHECK(error_of([&] { resolve_vocab(none); }) ==
        "2 [model.vocab] expected a number, since neither tokenizer.json nor meta.json beside the shards tells one, "
        "got none");
  Configuration given = configured("none/t.bin", 99);
  resolve_vocab(given);
  CHECK(given.model.vocab == 99);

  put_file(folder / "bytes/tokenizer.json", tokenizer_json(bytes_vocabulary()));
  Configuration bytes = configured("bytes/t.bin", 0);
  resolve_vocab(bytes);
  CHECK(bytes.model.vocab == 257);
  Configuration agreeing = configured("bytes/t.bin", 257);
  resolve_vocab(agreeing);
  CHECK(agreeing.model.vocab == 257);
  Configuration wrong = configured("bytes/t.bin", 256);
  CHECK(error_of([&] { resolve_vocab(wrong); }) ==
        "2 [" + (folder / "bytes/t.bin").string() +
            "] expected tokens of a vocabulary of 256, as model.vocab says, got a tokenizer of 257 beside it");

  put_file(folder / "meta/meta.json", "{\"vocab_size\": 300}");
  Configuration meta = configured("meta/t.bin", 0);
  resolve_vocab(meta);
  CHECK(meta.model.vocab == 300);
  meta.run.data.val = {(folder / "bytes/t.bin").string()};
  CHECK(error_of([&] { resolve_vocab(meta); }).find("expected tokens of a vocabulary of 300") != std::string::npos);
  Configuration shards;
  resolve_vocab(shards, {folder / "meta/t.bin"});
  CHECK(shards.model.vocab == 300);
  for (const char* text : {"[", "1e999", "{\"vocab_size\": -3}", "{\"vocab_size\": \"x\"}"}) {
    put_file(folder / "meta/meta.json", text);
    Configuration broken = configured("meta/t.bin", 0);
    CHECK(error_of([&] { resolve_vocab(broken); }).find("2 [" + (folder / "meta/meta.json").string()) == 0);
  }
}

TEST_CASE("cudnn attention: what it cannot do is one line that names the key") {
  const auto error = [](const std::vector<std::string>& settings) {
    return error_of([&] { load_configuration("nano", sets(settings)); });
  };
  const std::string on = "model.attention=cudnn";
  CHECK(error({on}).empty());
  CHECK(error({on, "model.dropout=0.1"}) ==
        "2 [model.dropout] expected 0 with model.attention = cudnn, whose own generator could not be repeated "
        "elsewhere, got 0.1");
  CHECK(error({on, "model.width=48"}) ==
        "2 [model.width] expected a multiple of 8 per head with model.attention = cudnn (4 heads), got 48");
  const auto on_device = [&](const std::vector<std::string>& settings, DeviceKind device) {
    const Configuration configuration = load_configuration("nano", sets(settings));
    return error_of([&] { check_device(configuration, device); });
  };
  const std::string bf16 = "run.precision=bf16";
  for (const DeviceKind device : {DeviceKind::ref, DeviceKind::cpu}) {
    CHECK(on_device({on, bf16}, device) ==
          "2 [model.attention] expected flash or naive on this device, got cudnn, which needs the cuda device");
    CHECK(on_device({}, device).empty());
  }
  CHECK(on_device({on}, DeviceKind::cuda) ==
        "2 [run.precision] expected bf16 with model.attention = cudnn, which computes in nothing else, got fp32");
  CHECK(on_device({on, "run.precision=tf32"}, DeviceKind::cuda).ends_with("got tf32"));
  // This program is built without the device, so without cuDNN too.
  CHECK(on_device({on, bf16}, DeviceKind::cuda) ==
        "2 [model.attention] expected flash or naive in this build, got cudnn, which it does not have");
  CHECK(on_device({bf16}, DeviceKind::cuda).empty());
}

TEST_CASE("toggles in words tell two different models apart") {
  std::set<std::string> seen;
  for (const char* setting :
       {"run.seed=1", "model.norm=rmsnorm", "model.norm=none", "model.norm_position=post", "model.final_norm=none",
        "model.positions=rope", "model.positions=none", "model.attention=naive", "model.attention=cudnn",
        "model.kv_heads=1", "model.kv_heads=2", "model.window=16", "model.mlp=swiglu", "model.mlp_ratio=3",
        "model.bias=false", "model.dropout=0.1", "model.tie_embeddings=false"}) {
    std::string words;
    for (const std::string& word : toggles_in_words(load_configuration("nano", sets({setting})).model))
      words += word + "; ";
    CHECK(seen.insert(words).second);
  }
}

TEST_CASE("random damage to a valid file is read or refused with one line") {
  const TemporaryFolder folder;
  const std::string whole(preset_text("nano"));
  Philox random(2026, 2);
  int refused = 0;
  constexpr int kRounds = 1000;
  for (int round = 0; round < kRounds; ++round) {
    std::string damaged = whole;
    for (std::uint64_t edits = random.below(3) + 1; edits > 0; --edits) {
      const std::size_t at = random.below(damaged.size());
      if (random.below(2) == 0) {
        damaged[at] = static_cast<char>(random.next());
      } else {
        damaged.insert(at, damaged.substr(random.below(damaged.size()), random.below(20)));
      }
    }
    put_file(folder / "c.toml", damaged);
    const std::string error = error_of([&] { load_configuration((folder / "c.toml").string()); });
    refused += !error.empty();
    REQUIRE((error.empty() || error.substr(0, 3) == "2 ["));
    REQUIRE(error.find('\n') == std::string::npos);
  }
  CHECK(refused > kRounds / 2);
}
