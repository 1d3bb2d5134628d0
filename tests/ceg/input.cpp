// Readers: CSV, W&B exports and run folders, and the one-line errors of bad ones.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

#include "synthetic.h"
#include "tools/ceg/input/csv.h"

using namespace isoloss;
using namespace isoloss::ceg;
using namespace isoloss::test;
using namespace isoloss::test;
namespace fs = std::filesystem;

namespace {

/// A fresh folder that goes away with the test.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("isoloss_ceg_" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path write(const fs::path& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<std::vector<std::string>> cells_of(const std::string& text) {
  CsvReader reader(text, "t.csv");
  std::vector<std::vector<std::string>> rows;
  CsvRow row;
  while (reader.next(row)) rows.push_back(row.cells);
  return rows;
}

std::string csv_error(const std::string& text) {
  return input_error([&] { read_csv_runs(text, "t.csv"); });
}

const std::string kHeader = "variant,step,val_loss\n";

}  // namespace

TEST_CASE("CSV cells as RFC 4180 writes them") {
  using Rows = std::vector<std::vector<std::string>>;
  CHECK(cells_of("a,b\r\n\"c,\"\"d\",\n") == Rows{{"a", "b"}, {"c,\"d", ""}});
  CHECK(cells_of("\xEF\xBB\xBFx\n\n\ny") == Rows{{"x"}, {"y"}});
  CHECK(cells_of("\"two\nlines\",z\n") == Rows{{"two\nlines", "z"}});
  CHECK(cells_of("").empty());
}

TEST_CASE("a row's line number counts the line ends inside its predecessors' quotes") {
  CsvReader reader("a,\"b\nc\"\nd,e\n", "t.csv");
  CsvRow row;
  REQUIRE(reader.next(row));
  CHECK(row.line == 1);
  REQUIRE(reader.next(row));
  CHECK(row.line == 3);
}

TEST_CASE("malformed CSV ends in one line that names file and line") {
  const std::pair<std::string, std::string> cases[] = {
      {"", "[t.csv] expected a header line, got an empty file"},
      {"variant,step\n", "[t.csv:1] expected a column `val_loss`, got `variant,step`"},
      {"variant,step,val_loss,parts\na,1,2,b;c;b\n", "[t.csv:2] expected each part once, got `b` twice"},
      {"variant;step;val_loss\n", "[t.csv:1] expected a column `step`, got `variant;step;val_loss`"},
      {"variant,step,step,val_loss\n", "[t.csv:1] expected each column once, got `step` twice"},
      {kHeader, "[t.csv] expected at least one line with a val_loss, got none"},
      {kHeader + "a,1,2\na,2\n", "[t.csv:3] expected 3 cells as in the header, got 2"},
      {kHeader + "a,1,2\na,2,nan\n", "[t.csv:3] expected a finite number for val_loss, got `nan`"},
      {kHeader + "a,1,inf\n", "[t.csv:2] expected a finite number for val_loss, got `inf`"},
      {kHeader + "a,1,1e999\n", "[t.csv:2] expected a finite number for val_loss, got `1e999`"},
      {kHeader + "a,1,low\n", "[t.csv:2] expected a finite number for val_loss, got `low`"},
      {kHeader + "a,1,3.0x\n", "[t.csv:2] expected a finite number for val_loss, got `3.0x`"},
      {kHeader + "a,,3\n", "[t.csv:2] expected a finite number for step, got ``"},
      {kHeader + ",1,3\n", "[t.csv:2] expected a name for the variant, got nothing"},
      {kHeader + "a\x01,1,3\n", "[t.csv:2] expected UTF-8 without control characters for the variant, got other bytes"},
      {kHeader + "\xC3(,1,3\n", "[t.csv:2] expected UTF-8 without control characters for the variant, got other bytes"},
      {kHeader + "a,1,3\na,1,2\n",
       "[t.csv] expected each step once for variant `a` scale `default` seed 0, got step 1 twice"},
      {kHeader + "\"a,1,3\n", "[t.csv:2] expected a closing quote, got the end of the file"},
      {kHeader + "\"a\"b,1,3\n", "[t.csv:2] expected a comma or line end after a closing quote, got more text"},
      {kHeader + "a\"b,1,3\n", "[t.csv:2] expected quotes around the whole cell, got a quote inside it"},
      {kHeader + std::string("a\0b,1,3\n", 8), "[t.csv:2] expected text, got a NUL byte"},
      {"variant,step,val_loss,seed\na,1,3,one\n", "[t.csv:2] expected a finite number for seed, got `one`"},
      {"variant,step,val_loss,seed\na,1,3,1.5\n", "[t.csv:2] expected a whole number for seed, got `1.5`"},
      {"variant,step,val_loss,class\na,1,3,x\na,2,3,y\n",
       "[t.csv:3] expected one class and one list of parts for variant `a`, got another"},
      {"variant,step,val_loss,tokens\na,1,3,5\na,2,3,4\n",
       "[t.csv] expected `tokens` that starts at 0 or above and never falls for variant `a` scale `default` seed 0, "
       "got 4 "
       "after 5 (step 2)"},
      {"variant,step,val_loss,tokens\na,1,3,5\na,1,3,6\n",
       "[t.csv] expected each step once for variant `a` scale `default` seed 0, got step 1 twice"},
      {"variant,step,val_loss,seed\na,1,3,1\nb,1,3,\na,2,2,\n",
       "[t.csv:4] expected a seed in every row of variant `a` scale `default`, or in none, got none"},
      {"step,val_loss,run\n1,3,a\n",
       "[t.csv:2] expected a column `variant` where a file holds names, got `a` in column "
       "`run`"},
  };
  for (const auto& bad : cases) {
    CAPTURE(bad.first);
    CHECK(csv_error(bad.first) == bad.second);
  }
  CHECK(csv_error(kHeader + std::string(std::size_t{1} << 21, 'x') + ",1,3\n") ==
        "[t.csv:2] expected a cell of at most 1 MiB, got a longer one");
  CHECK(csv_error(std::string(70'000, ',')) == "[t.csv:1] expected at most 65,536 cells in a row, got more");
}

TEST_CASE("numbers that can be no measurement: too large, too small") {
  const auto error_with = [](const std::string& cost, const std::string& loss) {
    return csv_error("variant,step,val_loss,joules\nb,1,3," + cost + "\nb,2," + loss + "," + cost + "\n");
  };
  CHECK(error_with("1e100", "1e100").empty());
  CHECK(error_with("0", "-2").empty());
  CHECK(error_with("5", "1e101") ==
        "[t.csv] expected a `val_loss` that is 0 or between 1e-100 and 1e+100 for variant `b` scale `default` seed 0, "
        "got "
        "1e+101 (step 2)");
  CHECK(error_with("5", "-1e-101").find("`val_loss`") != std::string::npos);
  CHECK(error_with("1e101", "2").find("`joules`") != std::string::npos);
  CHECK(error_with("1e-101", "2").find("`joules`") != std::string::npos);
}

TEST_CASE("CSV runs: keys, optional columns, empty cells, any order of steps") {
  const auto runs = read_csv_runs(
      "step,variant,val_loss,scale,seed,class,parts,flops,joules\n"
      "20,all,2.5,nano,3,systems,rope; norm,2e9,\n"
      "10,all,3.5,nano,3,systems,rope; norm,1e9,5\n"
      "30,all,,nano,3,systems,rope; norm,3e9,7\n"
      "10,all,3.25,nano,4,systems,rope; norm,1e9,\n",
      "t.csv");
  REQUIRE(runs.size() == 2);
  const Run& run = runs[0];
  CHECK(run.variant == "all");
  CHECK(run.scale == "nano");
  CHECK(run.seed == 3);
  CHECK(run.variant_class == "systems");
  CHECK(run.parts == std::vector<std::string>{"rope", "norm"});
  REQUIRE(run.points.size() == 2);
  CHECK(run.points[0].val_loss == 3.5);
  CHECK(run.points[1].cost[static_cast<std::size_t>(CostAxis::flops)] == 2e9);
  CHECK_FALSE(run.points[1].cost[static_cast<std::size_t>(CostAxis::joules)]);
  CHECK(run.has(CostAxis::joules));
  CHECK_FALSE(run.has(CostAxis::seconds));
  CHECK(runs[1].seed == 4);
  CHECK_FALSE(runs[1].has(CostAxis::joules));
}

TEST_CASE("CSV as pandas writes it: whole numbers with a point, a row twice, a clock that started anew") {
  const auto runs = read_csv_runs(
      "variant,seed,step,val_loss,seconds\n"
      "a,1.0,10.0,3,5\na,1.0,20.0,2.5,9\na,1.0,20.0,2.5,10\na,1.0,30.0,2.25,4\n"
      "b,2.0,10.0,3,5\nb,2.0,20.0,2.5,9\n",
      "t.csv");
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].seed == 1);
  CHECK(runs[1].seed == 2);
  REQUIRE(runs[0].points.size() == 3);
  CHECK(runs[0].points[2].val_loss == 2.25);
  CHECK_FALSE(runs[0].has(CostAxis::seconds));
  CHECK(runs[1].has(CostAxis::seconds));
  CHECK(runs[1].notes.empty());
  REQUIRE(runs[0].notes.size() == 2);
  CHECK(runs[0].notes[0].text == "steps that stand there twice are taken once, 1 in all, step 20 first");
  CHECK(runs[0].notes[1].text == "`seconds` fall, 4 after 9 (step 30): this axis is left out");
  const auto still = read_csv_runs("variant,step,val_loss,tokens\na,10,3,64\na,20,2.5,64\n", "t.csv");
  CHECK_FALSE(still[0].has(CostAxis::tokens));  // of one step, as some loggers count them
  CHECK(still[0].notes.at(0).text == "`tokens` stand still at 64: this axis is left out");
  CHECK(csv_error("variant,seed,step,val_loss\na,1.5,1,3\n") ==
        "[t.csv:2] expected a whole number for seed, got `1.5`");
  CHECK(csv_error("variant,seed,step,val_loss\na,1e300,1,3\n") ==
        "[t.csv:2] expected a whole number for seed, got `1e300`");

  Options options = options_for("b");
  options.cost = CostAxis::steps;
  CHECK(texts_of(analyse(runs, options), WarningKind::record).size() == 2);
  options.cost = CostAxis::seconds;
  CHECK(input_error([&] { analyse(runs, options); }) ==
        "[--cost] expected an axis that every run carries (steps), got seconds, which t.csv lacks: `a` seed 1: "
        "`seconds` fall, 4 after 9 (step 30): this axis is left out");
}

TEST_CASE("a file of one run has its name: Lightning's, TensorBoard's, anybody's") {
  const auto read = [](const std::string& name, const std::string& text) {
    const auto runs = read_csv_runs(text, name);
    REQUIRE(runs.size() == 1);
    return runs[0];
  };
  // Lightning writes one row for training and one for validation, and calls the first update step 0.
  const Run lightning =
      read("logs/rope-s3/version_0/metrics.csv", "epoch,step,train_loss,val_loss\n0,39,7.5,\n0,99,,5.5\n1,199,,5.25\n");
  CHECK(lightning.variant == "rope");
  CHECK(lightning.seed == 3);
  REQUIRE(lightning.points.size() == 2);
  CHECK(*lightning.points[0].cost[0] == 100);
  CHECK(lightning.points[1].val_loss == 5.25);
  CHECK(lightning.notes.size() == 1);
  CHECK(read("rope-s3/logs/csv/version_0/metrics.csv", "epoch,step,val_loss\n,99,5.5\n").variant == "rope");
  const Run board = read("x/run-rope-s2-tag-val_loss.csv", "Wall time,Step,Value\r\n1796000000.0,100,5.5\r\n");
  CHECK(board.variant == "rope");
  CHECK(board.seed == 2);
  CHECK(*board.points[0].cost[0] == 100);
  CHECK(board.points[0].val_loss == 5.5);
  CHECK(input_error([] { read_csv_runs("Wall time,Step,Value\n1,2,3\n", "run-a-tag-train_loss.csv"); }) ==
        "[run-a-tag-train_loss.csv] expected a validation loss after `-tag-`, got train_loss");
  const Run own = read("moe_seed4.csv", "step,val_loss,tokens\n1,3,64\n");
  CHECK(own.variant == "moe");
  CHECK(own.seed == 4);
  CHECK(*own.points[0].cost[0] == 1);
  CHECK(*own.points[0].cost[static_cast<std::size_t>(CostAxis::tokens)] == 64);
}

TEST_CASE("a W&B export: val/loss columns only, MIN and MAX passed over, seeds cut off names") {
  const std::string text =
      "\"Step\",\"base-s1 - val/loss\",\"base-s1 - val/loss__MIN\",\"base-s1 - val/loss__MAX\",\"base_seed2 - "
      "val/loss\","
      "\"gpt-2 - val/loss\",\"gpt-2 - train/loss\"\n"
      "\"0\",\"10.5\",\"1\",\"99\",\"\",\"10.25\",\"7\"\n"
      "\"100\",\"5.5\",\"1\",\"99\",\"5.25\",\"\",\"7\"\n";
  const auto runs = read_wandb_runs(text, "w.csv");
  REQUIRE(runs.size() == 3);
  CHECK(runs[0].variant == "base");
  CHECK(runs[0].seed == 1);
  REQUIRE(runs[0].points.size() == 2);
  CHECK(runs[0].points[1].val_loss == 5.5);
  CHECK(runs[1].variant == "base");
  CHECK(runs[1].seed == 2);
  REQUIRE(runs[1].points.size() == 1);
  CHECK(runs[1].points[0].cost[0] == 100);
  CHECK(runs[2].variant == "gpt-2");  // no seed: the 2 belongs to the name
  CHECK(runs[2].seed == 0);
  CHECK(input_error([] { read_wandb_runs("Step,a - train/loss\n0,1\n", "w.csv"); }) ==
        "[w.csv:1] expected columns named `… - val/loss`, got none");
  CHECK(input_error([] { read_wandb_runs("x,a - val/loss\n0,1\n", "w.csv"); }) ==
        "[w.csv:1] expected a column `Step`, got none");
  CHECK(input_error([] { read_wandb_runs("Step,a - val/loss\n0,NaN\n", "w.csv"); }) ==
        "[w.csv:2] expected a finite number for val/loss of `a`, got `NaN`");
}

TEST_CASE("run folders: the sweep's labels, 6 N D, blocks, and a last line cut short") {
  const Folder folder;
  folder.write("sweep/nano/rope-2/manifest.json",
               R"({"seed": 9, "status": "finished", "sweep": {"variant": "rope", "class": "compute-independent",
                   "scale": "nano", "seed": 2, "parts": ["a", "b"]}, "parameters": {"total": 12, "active": 10},
                   "eval": {"data_sha256": "abc", "tokens": 640}, "device": "cpu", "hardware": {"cpu": "x"}})");
  folder.write(
      "sweep/nano/rope-2/eval.jsonl",
      "{\"step\":0,\"tokens\":0,\"flops\":0,\"seconds\":0,\"joules\":null,\"val_loss\":5.5,\"block_losses\":[5,6]}\n"
      "{\"step\":10,\"tokens\":640,\"flops\":1e6,\"seconds\":1.5,\"joules\":null,\"val_loss\":4.5}\n"
      "{\"step\":20,\"tokens\":12");
  folder.write("sweep/lone/manifest.json", R"({"seed": 7})");
  folder.write("sweep/lone/eval.jsonl", "{\"step\":1,\"val_loss\":4}\n");
  folder.write("sweep/sweep.json", "{}");
  const auto runs = read_runs({folder.path() / "sweep"}, CsvLayout::isoloss);
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].variant == "lone");  // a run outside a sweep: its folder's name, its own seed
  CHECK(runs[0].seed == 7);
  const Run& run = runs[1];
  CHECK(run.variant == "rope");
  CHECK(run.variant_class == "compute-independent");
  CHECK(run.scale == "nano");
  CHECK(run.seed == 2);
  CHECK(run.parts == std::vector<std::string>{"a", "b"});
  CHECK(run.evaluation_set == "abc (640 tokens)");
  REQUIRE(run.points.size() == 2);
  CHECK(run.points[1].cost[static_cast<std::size_t>(CostAxis::flops_6nd)] == 6.0 * 10 * 640);
  CHECK_FALSE(run.has(CostAxis::joules));
  CHECK(run.points[0].block_losses == std::vector<double>{5, 6});
  CHECK(read_runs({folder.path() / "sweep" / "lone" / ""}, CsvLayout::isoloss)[0].variant == "lone");

  const fs::path bad = folder.path() / "sweep/lone/eval.jsonl";
  const auto error_of = [&](const std::string& text) {
    folder.write("sweep/lone/eval.jsonl", text);
    return input_error([&] { read_run_folder(folder.path() / "sweep/lone"); });
  };
  CHECK(error_of("{\"step\":1,\"val_loss\":4}\n{\"step\":2,\"val_loss\":NaN}\n") ==
        "[" + bad.string() + ":2 byte 22] expected a JSON object, got a syntax error");
  CHECK(error_of("{\"step\":1,\"val_loss\":1e999}\n") ==
        "[" + bad.string() + ":1 byte 26] expected a JSON object, got 1e999, a number beyond the range of double");
  CHECK(error_of("[1]\n") == "[" + bad.string() + ":1] expected a JSON object, got something else");
  CHECK(error_of("{\"step\":1,\"val_loss\":null}\n") ==
        "[" + bad.string() + ":1] expected a number for `val_loss`, got null");
  CHECK(error_of("{\"step\":1,\"val_loss\":\"4\"}\n") ==
        "[" + bad.string() + ":1] expected a finite number for `val_loss`, got string");
  CHECK(error_of("") == "[" + bad.string() + "] expected at least one evaluation, got none");
}

TEST_CASE("paths without runs, and one run twice") {
  const Folder folder;
  const std::string where = folder.path().string();
  CHECK(input_error([&] { read_runs({folder.path()}, CsvLayout::isoloss); }) ==
        "[" + where + "] expected run folders (with a manifest.json) below it, got none");
  CHECK(input_error([&] { read_runs({folder.path() / "no"}, CsvLayout::isoloss); }) ==
        "[" + where + "/no] expected a run folder, a sweep's folder or a CSV file, got nothing there");
  const fs::path csv = folder.write("c.csv", kHeader + "a,1,3\n");
  const fs::path copy = folder.write("copy.csv", kHeader + "a,1,3\n");
  CHECK(read_runs({csv, csv}, CsvLayout::isoloss).size() == 1);  // one file, whatever is said twice
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "variant,step,val_loss\na,1,3\n", 28) == 28);
  ::close(ends[1]);
  CHECK(read_runs({fmt::format("/dev/fd/{}", ends[0])}, CsvLayout::isoloss).size() == 1);
  ::close(ends[0]);
  CHECK(input_error([&] {
          read_runs({csv, copy}, CsvLayout::isoloss);
        }) == "[" + copy.string() +
                  "] expected one run for each variant, scale and seed, got variant `a` scale `default` seed 0 a "
                  "second time, after " +
                  csv.string());
}
