// The parts of kernels/core that every folder builds on: draws, hashes, files, the thread pool, tensors, the registry.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/base/lost_map.h"
#include "kernels/base/parallel.h"
#include "kernels/base/philox.h"
#include "kernels/base/shares.h"
#include "kernels/core/dropout.h"
#include "kernels/core/op.h"

namespace isoloss {
namespace {

namespace fs = std::filesystem;

/// A fresh folder that goes away with the test.
class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "isoloss-core-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
  }

 private:
  fs::path path_;
};

std::string sha256(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.hex();
}

/// Puts the number of threads back when a test is done.
struct KeepThreads {
  const int before = threads();
  ~KeepThreads() { set_threads(before); }
};

}  // namespace

TEST_CASE("philox: known answers") {
  // Random123, kat_vectors, philox4x32 with 10 rounds: zeros, ones, and digits of pi.
  CHECK(philox(0, 0, 0) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint64_t ones = ~std::uint64_t{0};
  CHECK(philox(ones, ones, ones) == PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: the sequential view draws the blocks in order") {
  Philox random(5, 9);
  for (std::uint64_t index = 0; index < 3; ++index) {
    for (const std::uint32_t expected : philox(5, 9, index)) CHECK(random.next() == expected);
  }
}

TEST_CASE("philox: uniform, below and normal have the right moments") {
  Philox random(1);
  constexpr int n = 100000;
  double mean = 0, normal_mean = 0, normal_square = 0;
  std::vector<int> hits(7);
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform();
    REQUIRE((u >= 0 && u < 1));
    mean += u / n;
    const double z = random.normal();
    normal_mean += z / n, normal_square += z * z / n;
    ++hits[random.below(7)];
  }
  // Five standard errors: 0.289, 1, 1.41 and sqrt(p(1-p)) over sqrt(n).
  CHECK(std::abs(mean - 0.5) < 5 * 0.289 / std::sqrt(n));
  CHECK(std::abs(normal_mean) < 5 / std::sqrt(n));
  CHECK(std::abs(normal_square - 1) < 5 * 1.415 / std::sqrt(n));
  for (const int count : hits) CHECK(std::abs(count / static_cast<double>(n) - 1.0 / 7) < 5 * 0.35 / std::sqrt(n));
}

TEST_CASE("hash_name is FNV-1a") {
  // Published values of the 64-bit variant.
  CHECK(hash_name("") == 0xcbf29ce484222325u);
  CHECK(hash_name("a") == 0xaf63dc4c8601ec8cu);
  CHECK(hash_name("foobar") == 0x85944171f73967e8u);
}

TEST_CASE("dropout mask: keeps the right share, scales it, and depends on every part of its key") {
  const DropoutMask mask(1, 2, 3, 0.25);
  constexpr int n = 40000;
  const auto kept = [](const DropoutMask& m) {
    std::vector<bool> keep;
    for (std::uint64_t i = 0; i < n; ++i) keep.push_back(m.keep(i));
    return keep;
  };
  const auto base = kept(mask);
  const double share = static_cast<double>(std::count(base.begin(), base.end(), true)) / n;
  CHECK(std::abs(share - 0.75) < 5 * std::sqrt(0.25 * 0.75 / n));  // five standard errors
  CHECK(mask.scale == 1.0 / 0.75);
  CHECK(base == kept(DropoutMask(1, 2, 3, 0.25)));
  CHECK(base != kept(DropoutMask(2, 2, 3, 0.25)));
  CHECK(base != kept(DropoutMask(1, 3, 3, 0.25)));
  CHECK(base != kept(DropoutMask(1, 2, 4, 0.25)));
}

TEST_CASE("sha256: known answers") {
  // FIPS 180-4 examples, the empty message, and a million times 'a'.
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: any cut of the message gives the same hash") {
  std::string message;
  for (int i = 0; i < 200; ++i) message += static_cast<char>(i);
  for (std::size_t cut = 0; cut <= message.size(); ++cut) {
    Sha256 hash;
    hash.update(std::string_view(message).substr(0, cut));
    hash.update(std::string_view(message).substr(cut));
    REQUIRE(hash.hex() == sha256(message));
  }
}

TEST_CASE("AtomicFile: the new content is there whole after commit, the old before") {
  const Folder folder;
  const fs::path path = folder.path() / "file";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write(std::string(3 << 20, 'x'));  // more than its buffer
    CHECK(read_file(path) == "old");
    file.write("tail");
    file.write_at(1, "HEAD", 4);
    file.commit();
  }
  const std::string content = read_file(path);
  CHECK(content.size() == (3 << 20) + 4);
  CHECK(content.substr(0, 6) == "xHEADx");
  CHECK(content.substr(content.size() - 5) == "xtail");
  CHECK(folder.files() == 1);
}

TEST_CASE("AtomicFile: without commit nothing remains") {
  const Folder folder;
  {
    AtomicFile file(folder.path() / "file");
    file.write("half");
    CHECK(folder.files() == 1);
  }
  CHECK(folder.files() == 0);
}

TEST_CASE("files: errors say which file and carry the right exit code") {
  const Folder folder;
  const auto code_of = [](const auto& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.exit_code();
    }
    return 0;
  };
  const fs::path missing = folder.path() / "missing";
  CHECK_THROWS_WITH_AS(read_file(missing),
                       ("[" + missing.string() + "] expected a readable file, got No such file or directory").c_str(),
                       Error);
  CHECK(code_of([&] { read_file(missing); }) == 2);
  CHECK(code_of([&] { read_file(folder.path()); }) == 2);
  CHECK(code_of([&] { MappedFile map(missing); }) == 2);
  CHECK(code_of([&] { AtomicFile file(missing / "below"); }) == 1);
  CHECK(code_of([&] { sha256_of_file(missing); }) == 2);
}

TEST_CASE("files: what is no regular file is told, pipes where they make sense are read") {
  const Folder folder;
  const auto error_of = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  const fs::path pipe = folder.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of([&] { read_file(pipe); }) == "[" + pipe.string() + "] expected a file, got a pipe");
  CHECK(error_of([&] { MappedFile map(pipe); }) == "[" + pipe.string() + "] expected a file, got a pipe");
  CHECK(error_of([&] { MappedFile map("/dev/zero"); }) == "[/dev/zero] expected a file, got a device");
  CHECK(error_of([&] { read_file_or_pipe("/dev/zero"); }) == "[/dev/zero] expected a file or a pipe, got a device");
  CHECK(error_of([&] { read_file_or_pipe("/dev/null"); }) == "[/dev/null] expected a file or a pipe, got a device");
  CHECK(error_of([&] { read_file_or_pipe(folder.path()); }) ==
        "[" + folder.path().string() + "] expected a file, got a folder");
  write_file_atomically(folder.path() / "ten", "0123456789");
  CHECK(read_file(folder.path() / "ten", 10) == "0123456789");
  CHECK(error_of([&] { read_file(folder.path() / "ten", 9); }).find("expected at most 9 bytes, got more") !=
        std::string::npos);
  CHECK(read_file_or_pipe(folder.path() / "ten") == "0123456789");
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "through", 7) == 7);
  ::close(ends[1]);
  CHECK(read_file_or_pipe("/dev/fd/" + std::to_string(ends[0])) == "through");
  ::close(ends[0]);
}

TEST_CASE("AtomicFile: a target that cannot be replaced is an error and leaves nothing behind") {
  const Folder folder;
  const fs::path path = folder.path() / "taken";
  fs::create_directory(path);
  AtomicFile file(path);
  file.write("content");
  CHECK_THROWS_AS(file.commit(), Error);
  CHECK(folder.files() == 1);
  CHECK(fs::is_directory(path));
}

TEST_CASE("MappedFile: content, and an empty file") {
  const Folder folder;
  write_file_atomically(folder.path() / "some", "content");
  write_file_atomically(folder.path() / "empty", "");
  const MappedFile some(folder.path() / "some"), empty(folder.path() / "empty");
  CHECK(std::string(reinterpret_cast<const char*>(some.bytes().data()), some.bytes().size()) == "content");
  CHECK(empty.bytes().empty());
  CHECK(sha256_of_file(folder.path() / "some") == sha256("content"));
}

TEST_CASE("MappedFile: a file that became shorter ends the program with a line that names it") {
  const Folder folder;
  const auto path = folder.path() / "shard\n.bin";
  const auto message_of = [&](const char* expected_name, auto touch) {
    CAPTURE(expected_name);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], STDERR_FILENO);
      watch_mapped_files();
      touch();
      ::_exit(0);
    }
    ::close(ends[1]);
    std::string message(4096, '\0');
    message.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(ends[0], message.data(), message.size()))));
    for (char more[256]; const ssize_t got = ::read(ends[0], more, sizeof more);) {
      message.append(more, static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(message.starts_with(std::string("error: [") + expected_name + "] expected "));
    CHECK(std::count(message.begin(), message.end(), '\n') == 1);
    CHECK(message.ends_with('\n'));
  };
  const auto touch_all = [](const MappedFile& file) {
    volatile int sum = 0;
    for (const std::byte byte : file.bytes()) sum = sum + static_cast<int>(byte);
  };
  const std::string content(100'000, 'x');
  write_file_atomically(folder.path() / "other", content);
  const std::string name = printable(path.string());
  message_of(name.c_str(), [&] {
    write_file_atomically(path, content);
    const MappedFile other(folder.path() / "other"), file(path), later(folder.path() / "other");
    fs::resize_file(path, 10);
    touch_all(other);
    touch_all(later);
    touch_all(file);
  });
  message_of(name.c_str(), [&] {  // moved, and in the place of one that is gone
    write_file_atomically(path, content);
    { const MappedFile gone(folder.path() / "other"); }
    MappedFile file(path);
    const MappedFile moved(std::move(file));
    fs::resize_file(path, 10);
    touch_all(moved);
  });
  const auto deep = folder.path() / std::string(200, 'a') / std::string(200, 'b') / std::string(200, 'c') / "last.bin";
  const std::string whole_name = deep.string();
  message_of(whole_name.substr(whole_name.size() - 511).c_str(), [&] {  // of a long name the end, which tells more
    fs::create_directories(deep.parent_path());
    write_file_atomically(deep, content);
    const MappedFile file(deep);
    fs::resize_file(deep, 10);
    touch_all(file);
  });
  message_of("memory", [] { std::raise(SIGBUS); });
}

TEST_CASE("errors are one line, whatever the input holds") {
  try {
    fail_input("a\nb", "no\tcontrol bytes", "\x1b[31m");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "[a\\x0ab] expected no\\x09control bytes, got \\x1b[31m");
    CHECK(error.exit_code() == 2);
  }
  CHECK_THROWS_AS(fail_run("x", "y", "z"), Error);
}

TEST_CASE("printable: damaged bytes and what drives a terminal are spelled out, text stays") {
  CHECK(printable("naïve — 漢字 🦉") == "naïve — 漢字 🦉");
  CHECK(printable(std::string_view("\0\x7f\r", 3)) == "\\x00\\x7f\\x0d");
  CHECK(printable("a\xff\xc3(\xed\xa0\x80") == "a\\xff\\xc3(\\xed\\xa0\\x80");  // a lone surrogate at the end
  CHECK(printable("cut\xe6\xbc") == "cut\\xe6\\xbc");
  CHECK(printable("\u009b31m\u2028\u202egnp\ufeff") == "\\xc2\\x9b31m\\xe2\\x80\\xa8\\xe2\\x80\\xaegnp\\xef\\xbb\\xbf");
  CHECK(std::string(Error("a\nb\xff", 1).what()) == "a\\x0ab\\xff");
}

TEST_CASE("errors stay readable when what they quote is long") {
  std::string quoted;
  for (int i = 0; i < 100'000; ++i) quoted += "é";
  try {
    fail_input(quoted + ":7", "short", "begins " + quoted + " ends");
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK(message.size() < 1300);
    CHECK(message.find("é…é") != std::string::npos);
    CHECK(message.find("é:7] expected short, got begins é") != std::string::npos);
    CHECK(message.ends_with("é ends"));
    CHECK(printable(message) == message);  // no character is cut in two
  }
  CHECK(std::string(Error(quoted, 1).what()).size() < 4010);
}

TEST_CASE("parallel: every task exactly once, for any number of threads") {
  const KeepThreads keep;
  for (const int count : {1, 2, 3, 5, 2, 1}) {
    set_threads(count);
    CHECK(threads() == count);
    for (const std::int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
      std::atomic<bool> thread_in_range{true};
      parallel_tasks(tasks, [&](std::int64_t task, int thread) {
        ++runs[static_cast<std::size_t>(task)];
        if (thread < 0 || thread >= count) thread_in_range = false;
      });
      CHECK(std::all_of(runs.begin(), runs.end(), [](const auto& times) { return times == 1; }));
      CHECK(thread_in_range);
    }
  }
}

TEST_CASE("parallel: many short regions in a row") {
  const KeepThreads keep;
  set_threads(3);
  std::vector<std::int64_t> sums(16);
  for (int round = 0; round < 2000; ++round) {
    parallel_tasks(16, [&](std::int64_t task) { sums[static_cast<std::size_t>(task)] += task + 1; });
  }
  for (std::int64_t task = 0; task < 16; ++task) CHECK(sums[static_cast<std::size_t>(task)] == 2000 * (task + 1));
}

TEST_CASE("parallel: regions nest") {
  const KeepThreads keep;
  set_threads(3);
  std::vector<std::atomic<int>> runs(30);
  parallel_tasks(5, [&](std::int64_t outer) {
    parallel_tasks(6, [&](std::int64_t inner) { ++runs[static_cast<std::size_t>(outer * 6 + inner)]; });
  });
  CHECK(std::all_of(runs.begin(), runs.end(), [](const auto& times) { return times == 1; }));
}

TEST_CASE("parallel: a thread index belongs to one thread at a time, nested or not") {
  const KeepThreads keep;
  set_threads(3);
  std::vector<std::atomic<int>> inside(3);
  std::atomic<bool> shared{false};
  parallel_tasks(200, [&](std::int64_t, int thread) {
    auto& mine = inside[static_cast<std::size_t>(thread)];
    if (mine.fetch_add(1) != 0) shared = true;
    parallel_tasks(2, [&](std::int64_t, int inner) {
      if (inner != thread) shared = true;
    });
    mine.fetch_sub(1);
  });
  CHECK_FALSE(shared);
}

TEST_CASE("shares: a thread takes its own in order, then what others have left from the end") {
  std::vector<Share> shares(3);
  fill_shares(shares.data(), 3, 4, 11);  // 4 5 | 6 7 | 8 9 10
  std::vector<std::int64_t> taken;
  for (std::int64_t i = 0; i < 3; ++i) taken.push_back(take_share(shares.data(), 3, 1));
  CHECK(taken == std::vector<std::int64_t>{6, 7, 10});
  CHECK(take_share(shares.data(), 3, 2) == 8);
  CHECK(take_share(shares.data(), 3, 0) == 4);
  taken.clear();
  for (std::int64_t i = 0; i < 3; ++i) taken.push_back(take_share(shares.data(), 3, 1));
  CHECK(taken == std::vector<std::int64_t>{9, 5, Share::kNone});
}

TEST_CASE("parallel_for: pieces cover the range once and start at multiples of the grain") {
  const KeepThreads keep;
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    for (const std::int64_t n : {1, 15, 16, 17, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
      std::atomic<bool> aligned{true};
      parallel_for(n, 16, [&](std::int64_t begin, std::int64_t end) {
        if (begin % 16 != 0 || end > n || begin >= end) aligned = false;
        for (std::int64_t i = begin; i < end; ++i) ++runs[static_cast<std::size_t>(i)];
      });
      CHECK(aligned);
      CHECK(std::all_of(runs.begin(), runs.end(), [](const auto& times) { return times == 1; }));
    }
  }
}

TEST_CASE("shapes") {
  const Shape shape{2, 3, 5};
  CHECK(shape.count() == 30);
  CHECK(shape.rows() == 6);
  CHECK(shape[-1] == 5);
  CHECK(shape.with_last(7) == Shape{2, 3, 7});
  CHECK(shape.without_last() == Shape{2, 3});
  CHECK(Shape{}.count() == 0);
  CHECK(Shape{0, 4}.rows() == 0);
  CHECK(shape.text() == "[2, 3, 5]");
  CHECK(TensorType{DType::bf16, {2}}.bytes() == 4);
  CHECK(TensorType{}.text() == "absent");
}

TEST_CASE("attributes") {
  Attributes attributes = {{"heads", 4}, {"p", 0.5}};
  CHECK(attributes.integer("heads") == 4);
  CHECK_FALSE(attributes.flag("window"));
  CHECK_THROWS_AS(attributes.real("window"), std::logic_error);
  attributes.set("heads", 8);
  attributes.set("window", 1);
  CHECK(attributes.text() == "heads=8 p=0.5 window=1");
}

TEST_CASE("registry: names are unique and records name ports that exist") {
  std::set<std::string> names;
  for (const OpDef& op : all_ops()) {
    CAPTURE(op.name);
    CHECK(names.insert(op.name).second);
    CHECK((op.infer != nullptr));
    CHECK((op.cost != nullptr));
    CHECK((op.launcher(DeviceKind::ref) != nullptr));
    const auto is_port = [&](std::string_view name) { return op.input(name) >= 0 || op.output(name) >= 0; };
    for (const auto& [output, input] : op.gradient.aliases) CHECK((op.output(output) >= 0 && op.input(input) >= 0));
    if (std::string_view(op.gradient.op).empty()) continue;
    const OpDef& backward = find_op(op.gradient.op);
    for (const auto& [port, source] : op.gradient.reads) {
      CHECK(backward.input(port) >= 0);
      CHECK((is_port(source) || op.output(std::string_view(source).substr(1)) >= 0));
    }
    for (const auto& [port, target] : op.gradient.writes) CHECK((backward.output(port) >= 0 && is_port(target)));
  }
  CHECK_THROWS_AS(find_op("no such operation"), std::logic_error);
}

}  // namespace isoloss
