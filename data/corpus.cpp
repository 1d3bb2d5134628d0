#include "data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <utility>

#include "data/content.h"
#include "data/json_line.h"
#include "data/stories.h"
#include "kernels/base/error.h"
#include "kernels/base/file.h"

namespace isoloss {

namespace fs = std::filesystem;

namespace {
constexpr std::string_view kBuiltin = "builtin:";
constexpr std::uint64_t kMegabyte = 1'000'000;
constexpr std::uint64_t kDefaultStories = 5;  // MB: minutes of training for a small model on a CPU

enum class NamedAs { unknown, text, json_lines, json };

NamedAs kind_by_name(const fs::path& path) {
  const std::string ending = lower_extension(uncompressed_name(path));
  if (ending == ".txt" || ending == ".text" || ending == ".md") return NamedAs::text;
  if (ending == ".jsonl" || ending == ".ndjson") return NamedAs::json_lines;
  return ending == ".json" ? NamedAs::json : NamedAs::unknown;
}

/// Whether a file that a folder holds is read. Folders have JSON of other kinds beside the texts.
bool is_wanted(const fs::path& path) {
  std::error_code ignored;  // a link to nothing, too, is passed over
  if (!fs::is_regular_file(path, ignored)) return false;
  const NamedAs kind = kind_by_name(path);
  if (kind == NamedAs::json) return begins_with_json_line(open_source(path)->head(kHeadBytes));
  return kind != NamedAs::unknown;
}

/// Passes text on, and refuses what holds NUL bytes.
class TextOnly final : public ByteSource {
 public:
  /// `place`: bytes of the file in front of the first that is read.
  TextOnly(ByteSource& source, std::string_view file, std::uint64_t place)
      : source_(source), file_(file), place_(place) {}

  std::size_t read(char* out, std::size_t capacity) override {
    const std::size_t got = source_.read(out, capacity);
    if (const std::size_t zero = std::string_view(out, got).find('\0'); zero != std::string_view::npos) {
      fail_input(fmt::format("{} byte {}", file_, place_ + zero), "text",
                 "a NUL byte (--binary takes such files, tr -d '\\000' takes the bytes out)");
    }
    place_ += got;
    return got;
  }
  std::uint64_t consumed() const override { return source_.consumed(); }
  std::string sha256() override { return source_.sha256(); }

 private:
  ByteSource& source_;
  std::string_view file_;
  std::uint64_t place_;
};

/// Everything in a folder and in those inside it that is no folder itself. Names beginning with a dot are left out;
/// links to folders are not followed. The iterator of the standard library that goes down by itself does not say which
/// folder it could not read.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files, folders = {folder};
  while (!folders.empty()) {
    const fs::path next = std::move(folders.back());
    folders.pop_back();
    std::error_code error;
    for (fs::directory_iterator at(next, error), end; !error && at != end; at.increment(error)) {
      if (at->path().filename().native().starts_with('.')) continue;
      (at->symlink_status().type() == fs::file_type::directory ? folders : files).push_back(at->path());
    }
    if (error) fail_input(next.string(), "a readable folder", error.message());
  }
  std::ranges::sort(files, {}, [](const fs::path& file) -> const std::string& { return file.native(); });
  return files;
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

Corpus::Corpus(const std::vector<std::string>& inputs, CorpusOptions options)
    : options_(std::move(options)), separator_(options_.separator) {
  try {
    for (const std::string& input : inputs) add_input(input);
  } catch (const fs::filesystem_error& error) {
    fail_input(error.path1().string(), "a readable file or folder", error.code().message());
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
  const std::vector<fs::path> entries = files_below(folder);
  std::vector<fs::path> files;
  for (const fs::path& entry : entries) (is_wanted(entry) ? files : passed_over_).push_back(entry);
  if (files.empty()) {
    fail_input(folder.string(), "a folder with .txt, .text, .md, .jsonl, .ndjson or JSON Lines in .json files",
               "none in it");
  }
  for (const fs::path& file : files) add_input(file.string());
}

bool Corpus::can_be_read_twice() const {
  return std::all_of(sources_.begin(), sources_.end(),
                     [](const CorpusSource& source) { return source.stories > 0 || fs::is_regular_file(source.name); });
}

bool Corpus::read(DocumentSink& sink, const std::function<bool(std::uint64_t, std::uint64_t)>& go_on) {
  std::uint64_t total = 0, before = 0;
  remarks_ = {};
  file_warnings_.clear();
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

bool Corpus::read_file(CorpusSource& source, DocumentSink& sink, const std::function<bool(std::uint64_t)>& go_on) {
  const std::unique_ptr<PreviewedSource> bytes = open_source(source.name);
  const KeepReading keep_reading = [&] { return go_on(bytes->consumed()); };
  const std::string_view head = bytes->head(kHeadBytes);
  const bool is_json = is_json_lines(source.name, head);
  if (!options_.binary) {
    if (const std::string other = not_text(head); !other.empty()) fail_input(source.name, "text in UTF-8", other);
    notice_encoding(source.name, head);
  }
  const std::uint64_t skipped = remarks_.bad_lines.count;
  bool finished = false;
  if (is_json) {
    finished = read_json_lines(*bytes, source.name, options_.json_lines, sink, keep_reading, remarks_);
  } else if (options_.binary) {
    finished = read_text(*bytes, source.name, separator_, sink, keep_reading, remarks_);
  } else {
    const std::size_t mark = head.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
    bytes->skip(mark);
    TextOnly text(*bytes, source.name, mark);
    finished = read_text(text, source.name, separator_, sink, keep_reading, remarks_);
  }
  source.skipped_lines = remarks_.bad_lines.count - skipped;
  if (finished) source.sha256 = bytes->sha256();
  return finished;
}

bool Corpus::is_json_lines(const fs::path& name, std::string_view head) {
  const NamedAs kind = kind_by_name(name);
  if (kind == NamedAs::json || kind == NamedAs::json_lines) return true;
  if (options_.binary || !begins_with_json_line(head)) return false;
  if (kind == NamedAs::unknown) return true;
  file_warnings_.push_back(fmt::format(
      "{} is read as text, as its name says, but begins like JSON Lines; those are read from files named .jsonl",
      name.string()));
  return false;
}

void Corpus::notice_encoding(const std::string& name, std::string_view head) {
  if (separator_.splits() && head.find('\r') != head.npos && head.find('\n') == head.npos) {
    file_warnings_.push_back(fmt::format(
        "{} ends its lines with carriage returns alone, so it is one line (tr '\\r' '\\n' makes them lines)", name));
  }
  const std::size_t place = other_encoding(head);
  if (place == head.size()) return;
  file_warnings_.push_back(fmt::format(
      "{} is no UTF-8 from byte {} on; its bytes are taken as they are (iconv converts from other encodings)", name,
      place));
}

/// Documents that are there twice weigh double, and may be on both sides of the split.
void Corpus::notice_copies(std::vector<std::string>& lines) const {
  std::map<std::string_view, std::string_view> names;  // by hash
  for (const CorpusSource& source : sources_) {
    if (source.bytes == 0 || source.sha256.empty()) continue;
    const auto [first, is_new] = names.emplace(source.sha256, source.name);
    if (is_new) continue;
    lines.push_back(
        source.name == first->second
            ? fmt::format("{} was given twice; its documents count twice", source.name)
            : fmt::format("{} holds the bytes of {}; its documents count twice", source.name, first->second));
  }
}

std::vector<std::string> Corpus::warnings() const {
  std::vector<std::string> lines = file_warnings_;
  notice_copies(lines);
  const auto tell = [&lines](const Tally& tally, std::string_view one, std::string_view many, std::string_view rest) {
    if (tally.count == 0) return;
    lines.push_back(fmt::format("{} {} ({}{}){}", tally.count, tally.count == 1 ? one : many,
                                tally.count == 1 ? "" : "the first: ", tally.first, rest));
  };
  tell(remarks_.marker_alone, "line holds nothing but <|endoftext|> and blanks",
       "lines hold nothing but <|endoftext|> and blanks",
       ", which separate no documents; --separator '^\\s*<\\|endoftext\\|>\\s*$' makes them separate");
  tell(remarks_.marker_beside, "line begins or ends with <|endoftext|>", "lines begin or end with <|endoftext|>",
       ", where it is ordinary text; it separates documents when it has a line of its own "
       "(sed 's/<|endoftext|>/\\n&\\n/g'), or --separator REGEX names lines that do and that belong to no document");
  tell(remarks_.marker_in_json, "document of JSON Lines begins or ends with <|endoftext|>",
       "documents of JSON Lines begin or end with <|endoftext|>",
       ", where it is ordinary text; the end of a document has its id without it");
  tell(remarks_.bad_lines, "line of JSON Lines was skipped", "lines of JSON Lines were skipped",
       ": " + remarks_.why_bad);
  return lines;
}

}  // namespace isoloss
