#include "data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "data/stories.h"
#include "kernels/core/error.h"
#include "kernels/core/file.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {
constexpr std::string_view kBuiltin = "builtin:";
constexpr std::uint64_t kMegabyte = 1'000'000;
constexpr std::uint64_t kDefaultStories = 5;  // MB: minutes of training for a small model on a CPU

bool is_text_name(const fs::path& path) {
  const std::string ending = uncompressed_name(path).extension().string();
  return ending == ".txt" || ending == ".text" || ending == ".md" || ending == ".jsonl";
}

CorpusSource builtin_source(const std::string& input) {
  constexpr std::string_view stories = "stories";
  const std::string_view name = std::string_view(input).substr(kBuiltin.size());
  const auto wrong = [&] {
    fail_input(input, "builtin:stories or builtin:stories:MB, MB from 1 to 100000", "another");
  };
  if (!name.starts_with(stories)) wrong();
  std::uint64_t megabytes = kDefaultStories;
  if (const std::string_view size = name.substr(stories.size()); !size.empty()) {
    const char* const last = size.data() + size.size();
    const auto [end, error] = std::from_chars(size.data() + 1, last, megabytes);
    if (size[0] != ':' || error != std::errc{} || end != last || megabytes < 1 || megabytes > 100'000) wrong();
  }
  CorpusSource source;
  source.name = fmt::format("builtin:stories:{}", megabytes);
  source.bytes = source.stories = megabytes * kMegabyte;
  return source;
}
}  // namespace

Corpus::Corpus(const std::vector<std::string>& inputs, std::string_view separator, std::string field)
    : separator_(separator), field_(std::move(field)) {
  try {
    for (const std::string& input : inputs) add_input(input);
  } catch (const fs::filesystem_error& error) {
    fail_input(error.path1().string(), "a readable folder", error.code().message());
  }
}

void Corpus::add_input(const std::string& input) {
  if (input.starts_with(kBuiltin)) {
    sources_.push_back(builtin_source(input));
    return;
  }
  if (!fs::exists(input)) fail_input(input, "a file, a folder or builtin:stories", "nothing of that name");
  if (fs::is_directory(input)) {
    add_folder(input);
    return;
  }
  CorpusSource source;
  source.name = input;
  source.bytes = fs::is_regular_file(input) ? fs::file_size(input) : 0;
  sources_.push_back(std::move(source));
}

void Corpus::add_folder(const fs::path& folder) {
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator at(folder), end; at != end; ++at) {
    if (at->path().filename().native().starts_with('.')) {
      if (at->is_directory()) at.disable_recursion_pending();
    } else if (at->is_regular_file()) {
      (is_text_name(at->path()) ? files : passed_over_).push_back(at->path());
    }
  }
  if (files.empty()) fail_input(folder.string(), "a folder with .txt, .text, .md or .jsonl files", "none in it");
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  for (const fs::path& file : files) add_input(file.string());
}

bool Corpus::can_be_read_twice() const {
  return std::all_of(sources_.begin(), sources_.end(),
                     [](const CorpusSource& source) { return source.stories > 0 || fs::is_regular_file(source.name); });
}

bool Corpus::read(DocumentSink& sink, const std::function<bool(std::uint64_t, std::uint64_t)>& go_on) {
  std::uint64_t total = 0, before = 0;
  for (const CorpusSource& source : sources_) total += source.bytes;
  for (CorpusSource& source : sources_) {
    const auto keep_reading = [&](std::uint64_t done) { return go_on(before + done, total); };
    if (source.stories > 0) {
      Sha256 hash;
      std::uint64_t done = 0;
      for (StoryGenerator stories; done < source.stories;) {
        const std::string_view story = stories.next();
        hash.update(story);
        sink.text(story);
        sink.end_document();
        done += story.size();
        if (!keep_reading(std::min(done, source.stories))) return false;
      }
      source.sha256 = hash.hex();
    } else if (!read_file(source, sink, keep_reading)) {
      return false;
    }
    before += source.bytes;
  }
  return true;
}

bool Corpus::read_file(CorpusSource& source, DocumentSink& sink,
                       const std::function<bool(std::uint64_t)>& go_on) const {
  const std::unique_ptr<ByteSource> bytes = open_source(source.name);
  const KeepReading keep_reading = [&] { return go_on(bytes->consumed()); };
  const bool is_json = uncompressed_name(source.name).extension() == ".jsonl";
  const bool finished = is_json ? read_json_lines(*bytes, source.name, field_, sink, keep_reading)
                                : read_text(*bytes, separator_, sink, keep_reading);
  if (finished) source.sha256 = bytes->sha256();
  return finished;
}

}  // namespace isoloss
