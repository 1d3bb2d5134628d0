// tokenize: text into token shards, or standard input into ids and back.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>

#include "kernels/base/error.h"
#include "tools/common/program.h"
#include "tools/common/usage.h"
#include "tools/tokenize/tokenize.h"

int main(int argc, char** argv) {
  using namespace isoloss;
  TokenizeOptions options;
  std::string out;
  bool ids = false, decode = false;
  std::function<bool(const char*)> given;  // whether the option stands on the command line
  const auto setup = [&](CLI::App& app) {
    app.add_option(
        "INPUT", options.inputs,
        "Text or JSON Lines (.jsonl, .ndjson, .json), also .gz, .zst or .xz; a folder means every such file in it; "
        "builtin:stories[:MB] is the built-in corpus (5 MB); /dev/stdin is standard input");
    app.add_option("--tokenizer", options.tokenizer,
                   "bytes; gpt2:DIR with encoder.json and vocab.bpe; bpe:SIZE, trained on INPUT; or a Hugging Face "
                   "tokenizer.json")
        ->required();
    app.add_option("--out", out, "Folder for the shards, tokenizer.json and meta.json");
    app.add_option("--val-fraction", options.val_fraction, "Share of the documents that becomes val_*.bin")
        ->capture_default_str();
    app.add_option(
           "--separator", options.separator,
           "What separates documents in a text file: lines in which this regular expression matches; blank-line; "
           "or none (a file is one document)")
        ->capture_default_str();
    app.add_option("--field", options.field, "Field of a line of JSON Lines that holds the text")
        ->capture_default_str();
    app.add_flag("--skip-bad-lines", options.skip_bad_lines,
                 "Count lines of JSON Lines that hold no text, in the place of stopping at them");
    app.add_flag("--binary", options.binary, "Take files that are no text, too, byte for byte");
    app.add_option("--seed", options.seed, "Draws which documents are for validation")
        ->capture_default_str()
        ->check(whole_number<std::uint64_t>());
    app.add_flag("--force", options.force, "Replace the set that --out holds already, once the new one is whole");
    app.add_flag("--ids", ids, "Print the ids of standard input, byte for byte; no INPUT");
    app.add_flag("--decode", decode, "Print the bytes of the ids on standard input; no INPUT");
    given = [&app](const char* option) { return app.get_option(option)->count() > 0; };
  };
  const auto body = [&] {
    if (ids || decode) {
      if (ids && decode) fail_input("--ids", "either --ids or --decode", "both");
      const std::string_view flag = ids ? "--ids" : "--decode";
      if (!options.inputs.empty()) fail_input(flag, "standard input alone", "INPUT as well");
      for (const char* other :
           {"--out", "--val-fraction", "--separator", "--field", "--skip-bad-lines", "--binary", "--seed", "--force"}) {
        if (given(other)) fail_input(other, fmt::format("it without {}, which writes no shards", flag), "both");
      }
      leave_when_interrupted();
      Tokenizer tokenizer = open_tokenizer(options.tokenizer);
      if (ids) {
        print_ids(tokenizer, stdin, stdout);
      } else {
        print_decoded(tokenizer, stdin, stdout);
      }
      return 0;
    }
    if (options.inputs.empty()) fail_input("INPUT", "a file, a folder or builtin:stories", "nothing");
    if (out.empty()) fail_input("--out", "a folder", "nothing");
    expect_possible_folder("--out", out);
    options.out = out;
    return tokenize(options);
  };
  return run_program(argc, argv, "tokenize", "Turns text into token shards for training.",
                     "tokenize book.txt notes/ --tokenizer bpe:4096 --out data/mine", setup, body);
}
