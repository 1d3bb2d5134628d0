// tools/gpu_check.sh, as far as it goes without a GPU: its steps, and that both pages are whole whatever they end with.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "kernels/base/file.h"
#include "tests/harness/files.h"
#include "tests/harness/process.h"

namespace isoloss::test {
namespace {

using nlohmann::json;

ProcessResult bash(const std::string& script, const std::string& argument = "") {
  return run({"/bin/bash", "-c", script, "bash", argument});
}

/// What the pages say after `steps`, which run in the script's own functions.
struct Pages {
  json report;
  std::string markdown;
};
Pages pages_after(const std::string& steps, const std::string& ending = "finished=yes; write_pages") {
  const TemporaryFolder folder;
  const ProcessResult result = bash(
      "source tools/gpu_check.sh; out=$1; mkdir -p \"$out/logs\"; fact[device]='a \"GPU\"'\n" + steps + "\n" + ending,
      folder / "out");
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return {json::parse(read_file(folder / "out/gpu_check.json")), read_file(folder / "out/gpu_check.md")};
}

}  // namespace

TEST_CASE("gpu_check: without a GPU one line and exit code 1, before anything is written") {
  const TemporaryFolder folder;
  const ProcessResult result =
      bash("source tools/gpu_check.sh; nvidia-smi() { return 1; }; main --out \"$1\"", folder / "out");
  CHECK(result.exit_code == 1);
  CHECK(ends_with_one_error(result.err));
  CHECK(result.err.find("expected an NVIDIA GPU") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(std::filesystem::path(folder / "out")));
}

TEST_CASE("gpu_check: wrong arguments are exit code 2") {
  for (const char* arguments :
       {"--minutes 0", "--minutes ten", "--out", "--data /nowhere", "--fast", "--built --fast"}) {
    CAPTURE(arguments);
    const ProcessResult result = bash(std::string("bash tools/gpu_check.sh ") + arguments);
    CHECK(result.exit_code == 2);
    CHECK(ends_with_one_error(result.err));
  }
}

TEST_CASE("gpu_check: a failed step is recorded and the next one runs") {
  const Pages pages = pages_after(R"(
    step good 10 bash -c 'echo first; echo "the \"last\" | line\\"; echo'
    step bad 10 bash -c 'echo why; exit 3'
    step slow 1 sleep 20
    step after 10 true
  )");
  const json& steps = pages.report.at("steps");
  REQUIRE(steps.size() == 4);
  CHECK(steps[0]["name"] == "good");
  CHECK(steps[0]["status"] == "passed");
  CHECK(steps[0]["detail"] == "the \"last\" | line\\");
  CHECK(steps[1]["status"] == "failed");
  CHECK(steps[1]["detail"] == "exit code 3; why");
  CHECK(steps[2]["status"] == "failed");
  CHECK(steps[2]["detail"].get<std::string>().starts_with("stopped after 1 s"));
  CHECK(steps[2]["seconds"] < 10);
  CHECK(steps[3]["status"] == "passed");
  CHECK(pages.report.at("status") == "failed");
  CHECK(pages.report.at("device") == "a \"GPU\"");
  for (const char* key : {"driver", "cuda", "commit", "date", "seconds"}) CHECK(pages.report.contains(key));
  for (const char* name : {"operations", "attention", "products", "training"}) {
    CHECK(pages.report.at("bench").at(name).is_null());
  }
  CHECK(pages.report.at("training_124m").is_null());
  for (const char* row : {"| good | passed |", "| bad | failed |", "| slow | failed |", "| after | passed |"}) {
    CHECK(pages.markdown.find(row) != std::string::npos);
  }
  CHECK(pages.markdown.find("the \"last\" \\| line") != std::string::npos);
  CHECK(pages.markdown.find("## Log of bad\n\n```\nwhy\n```") != std::string::npos);
}

TEST_CASE("gpu_check: passed only when everything ran, and pages are there while it runs") {
  CHECK(pages_after("step good 10 true").report.at("status") == "passed");
  CHECK(pages_after("step good 10 true", "true").report.at("status") == "unfinished");
  CHECK(pages_after("", "write_pages").report.at("status") == "failed");
  CHECK(pages_after("book some skipped 0 'not installed' tool").report.at("status") == "passed");
}

TEST_CASE("gpu_check: time that has run out is a failure of the steps that are left") {
  const Pages pages = pages_after("started=$((SECONDS - 700)); step late 10 true; minutes=20; step early 10 true");
  CHECK(pages.report["steps"][0]["status"] == "failed");
  CHECK(pages.report["steps"][0]["detail"] == "no time left of 10 minutes");
  CHECK(pages.report["steps"][1]["status"] == "passed");
}

TEST_CASE("gpu_check: tests that did not run, sanitizers that found or refused something") {
  const Pages pages = pages_after(R"(
    verify=ran_some_tests; step none 10 echo '[doctest] test cases:  0 |  0 passed | 0 failed'
    verify=ran_some_tests; step some 10 echo '[doctest] test cases: 12 | 12 passed | 0 failed'
    verify=found_errors; step clean 10 printf '[doctest] test cases: 1 | 1\n===== ERROR SUMMARY: 0 errors\n'
    verify=found_errors; step errors 10 printf '[doctest] test cases: 1 | 1\n===== ERROR SUMMARY: 10 errors\n'
    verify=found_errors; step hazards 10 printf '[doctest] test cases: 1 | 1\n===== ERROR SUMMARY: 3 hazards displayed\n'
    excuse=sanitizer_refused; step refused 10 bash -c 'echo "Error: Device not supported"; exit 1'
    excuse=sanitizer_refused; step crashed 10 bash -c 'echo "Error: something else"; exit 1'
    accepted="0 130"; step interrupted 10 bash -c 'exit 130'
    step interrupted 10 bash -c 'exit 130'
  )");
  std::string seen;
  for (const json& step : pages.report["steps"]) seen += step["status"].get<std::string>() + " ";
  CHECK(seen == "failed passed passed failed failed skipped failed passed failed ");
}

TEST_CASE("gpu_check: the sanitizers run side by side, and are skipped where there are none") {
  const TemporaryFolder tools;
  // Stands for the tool: says what it was asked for, and finds something in one of four ways.
  write_file_atomically(std::filesystem::path(tools / "compute-sanitizer"),
                        "#!/bin/bash\necho \"[doctest] test cases: 1 | $*\"; sleep 2\n"
                        "[ $2 = racecheck ] && exit 99; echo '==== ERROR SUMMARY: 0 errors'\n");
  std::filesystem::permissions(std::filesystem::path(tools / "compute-sanitizer"), std::filesystem::perms::all);
  const std::string path = tools / "";
  const Pages pages = pages_after("nvcc=/nowhere/nvcc; bin=/programs; began=$SECONDS; PATH=" + path +
                                  ":$PATH; run_sanitizer; fact[commit]=$((SECONDS - began))");
  const json& steps = pages.report.at("steps");
  REQUIRE(steps.size() == 4);
  for (const json& step : steps) {
    CHECK(step["status"] == (step["name"] == "sanitizer-racecheck" ? "failed" : "passed"));
    const auto command = step["command"].get<std::string>();
    CHECK(command.find("ISOLOSS_ONCE=1 ") != std::string::npos);
    CHECK(command.find("/programs/test_gpu -tc=embedding,") != std::string::npos);
    // What the library's products read without need is none of our business.
    CHECK((command.find(",linear") == std::string::npos) == (step["name"] == "sanitizer-initcheck"));
  }
  CHECK(std::stoi(pages.report.at("commit").get<std::string>()) < 6);
  const Pages without = pages_after("nvcc=/nowhere/nvcc; bin=/programs; command() { return 1; }; run_sanitizer");
  for (const json& step : without.report.at("steps")) {
    CHECK(step["status"] == "skipped");
    CHECK(step["detail"] == "compute-sanitizer is not installed");
  }
}

TEST_CASE("gpu_check: test cases run in processes of their own, and one that crashes costs no other its result") {
  const TemporaryFolder tools;
  const std::filesystem::path program = tools / "tests";
  // Stands for a test program of four cases: the second dies, the third fails, the fourth is no test at all. Whatever
  // the range, doctest counts all cases.
  write_file_atomically(program,
                        "#!/bin/bash\ncase $* in\n"
                        "  --count) echo '[doctest] unskipped test cases passing the current filters: 4' ;;\n"
                        "  *first=2*) echo 'an illegal memory access'; kill -9 $$ ;;\n"
                        "  *first=3*) echo '[doctest] test cases: 4 | 3 passed | 1 failed'; exit 1 ;;\n"
                        "  *first=4*) echo 'something else' ;;\n"
                        "  *) echo '[doctest] test cases: 4 | 4 passed'; echo '[doctest] Status: SUCCESS!' ;;\nesac\n");
  std::filesystem::permissions(program, std::filesystem::perms::all);
  const Pages pages = pages_after("verify=ran_some_tests; step cases 20 bash -c 'run_cases \"$@\"' cases " +
                                  program.string() + " 2; step broken 20 bash -c 'run_cases /nowhere/tests 2'");
  const json& steps = pages.report.at("steps");
  CHECK(steps[0]["status"] == "failed");
  CHECK(steps[0]["detail"] == "exit code 1; [doctest] test cases: 4 | 1 passed | 3 failed");
  CHECK(pages.markdown.find("an illegal memory access\n(test case 2 of") != std::string::npos);
  CHECK(steps[1]["status"] == "failed");
  CHECK(steps[1]["detail"].get<std::string>().find("No such file") != std::string::npos);
  const Pages late = pages_after("minutes=1; step cases 12 bash -c 'run_cases() { sleep 9; }; run_cases' cases");
  CHECK(late.report["steps"][0]["detail"].get<std::string>().find("passed") == std::string::npos);
}

TEST_CASE("gpu_check: built programs must run here, and then nothing but a GPU is asked for") {
  const std::string start = "source tools/gpu_check.sh; nvidia-smi() { echo 'GPU 0: x'; }; built=yes; bin=";
  const ProcessResult without = bash(start + "/nowhere; expect_machine");
  CHECK(without.exit_code == 1);
  CHECK(without.err.find("expected programs that run here in /nowhere") != std::string::npos);
  const TemporaryFolder folder;
  CHECK(
      bash(start + "$1; ln -s /bin/true $1/train; PATH=/bin CUDACXX=/nowhere; expect_machine", folder / "").exit_code ==
      0);
}

TEST_CASE("gpu_check: NVIDIA's libraries are taken from Python's packages where the toolkit lacks them") {
  const TemporaryFolder folder;
  const std::string script =
      "source tools/gpu_check.sh; mkdir -p $1/python/cu/lib $1/python/cu/include $1/toolkit/bin $1/toolkit/lib "
      "$1/toolkit/include\n"
      "python3() { echo \"$packages\"; }; packages=$1/python; nvcc=$1/toolkit/bin/nvcc; touch $nvcc\n"
      "LD_LIBRARY_PATH=/before; find_libraries; echo \"$LD_LIBRARY_PATH $CPLUS_INCLUDE_PATH\"\n"
      "touch $1/toolkit/lib/libcublasLt.so.13 $1/toolkit/lib/libcudnn.so.9 $1/toolkit/include/cublasLt.h\n"
      "LD_LIBRARY_PATH=/before; find_libraries; echo \"$LD_LIBRARY_PATH\"";
  const std::string at = std::filesystem::path(folder / "").parent_path().string();
  CHECK(bash(script, at).out == "/before:" + at + "/toolkit/lib:" + at + "/python/cu/lib " + at +
                                    "/python/cu/include\n/before:" + at + "/toolkit/lib\n");
}

TEST_CASE("gpu_check: a signal ends the step at once, and the pages are there") {
  const Pages pages = pages_after(
      "(trap interrupted TERM; step good 10 true; step long 60 sleep 60) & sleep 2; kill $!; wait $!", "[ $? = 130 ]");
  CHECK(pages.report.at("steps").size() == 1);
  CHECK(pages.report.at("status") == "unfinished");
}

TEST_CASE("gpu_check: the commit that the caller names is the report's") {
  const std::string facts = "nvidia-smi() { :; }; nvcc=true; gather_facts";
  CHECK(pages_after("ISOLOSS_COMMIT=abc123; " + facts).report.at("commit") == "abc123");
  CHECK(pages_after("git() { [ \"$1\" != rev-parse ] || echo def456; }; " + facts).report.at("commit") == "def456");
  CHECK(pages_after("git() { [ \"$1\" != rev-parse ] && echo M || echo def456; }; " + facts).report.at("commit") ==
        "def456 with changes");
}

TEST_CASE("gpu_check: what bench and training left goes into the report") {
  const Pages pages = pages_after(R"(
    printf '{"device": "x", "operations": [1, 2]}\n' >"$out/bench-operations.json"
    printf '{"tokens_per_second": 5}\n' >"$out/pytorch-124m.json"
    printf '{"step":1,"loss":10.9}\n{"step":2,"loss":9.5,"tokens_per_second":4}\n' >"$out/train-124m.jsonl"
    verify=loss_fell; step fell 10 true
    printf '{"step":1,"loss":9.5}\n{"step":2,"loss":10}\n' >"$out/train-124m.jsonl"
    verify=loss_fell; step rose 10 true
    printf '{"step":1,"loss":9.5}\n{"step":2,"loss":nan}\n' >"$out/train-124m.jsonl"
    verify=loss_fell; step lost 10 true
    printf '{"step":1,"loss":10.9}\n{"step":2,"loss":9.5,"tokens_per_second":4}\n' >"$out/train-124m.jsonl"
    printf 'a table of operations\n' >"$out/logs/bench-operations.log"
  )");
  CHECK(pages.report["bench"]["operations"]["operations"].size() == 2);
  CHECK(pages.report["pytorch"]["training"]["tokens_per_second"] == 5);
  CHECK(pages.report["pytorch"]["attention"].is_null());
  CHECK(pages.report["training_124m"]["first"]["loss"] == 10.9);
  CHECK(pages.report["training_124m"]["last"]["tokens_per_second"] == 4);
  CHECK(pages.report["steps"][0]["status"] == "passed");
  CHECK(pages.report["steps"][1]["status"] == "failed");
  CHECK(pages.report["steps"][1]["detail"] == "the loss went from 9.5 to 10");
  CHECK(pages.report["steps"][2]["status"] == "failed");
  CHECK(pages.markdown.find("## Operations\n\n```\na table of operations\n```") != std::string::npos);
}

}  // namespace isoloss::test
