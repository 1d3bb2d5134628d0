#include "tests/simt/source_line.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace simt {

namespace {

std::vector<std::string> lines_of(const std::string& command) {
  std::vector<std::string> lines;
  const std::unique_ptr<FILE, int (*)(FILE*)> output(::popen(command.c_str(), "r"), ::pclose);
  if (output == nullptr) return lines;
  char* text = nullptr;
  std::size_t room = 0;
  for (::ssize_t length; (length = ::getline(&text, &room, output.get())) > 0;) {
    lines.emplace_back(text, static_cast<std::size_t>(length) - (text[length - 1] == '\n' ? 1 : 0));
  }
  std::free(text);
  return lines;
}

/// "void isoloss::(anonymous namespace)::row_loss<float, 4>(isoloss::…)" → "row_loss<float, 4>"
std::string kernel_name(std::string name) {
  constexpr std::string_view unnamed = "(anonymous namespace)::";
  for (auto at = name.find(unnamed); at != std::string::npos; at = name.find(unnamed)) name.erase(at, unnamed.size());
  name.erase(std::min(name.find('('), name.size()));
  const auto arguments = std::min(name.find('<'), name.size());
  const auto before = name.find_last_of(": ", arguments == 0 ? 0 : arguments - 1);
  return before == std::string::npos ? name : name.substr(before + 1);
}

/// "ptx.cuh:50 (discriminator 2)" → "ptx.cuh:50"
std::string place(const std::string& line) { return line.substr(0, line.find(' ')); }

}  // namespace

std::string source_line(const void* code) {
  Dl_info object{};
  if (::dladdr(code, &object) == 0) return fmt::format("{}", code);
  Dl_info own{};
  ::dladdr(reinterpret_cast<const void*>(&kernel_name), &own);
  const bool program = object.dli_fbase == own.dli_fbase;
  const std::string file = program ? std::filesystem::read_symlink("/proc/self/exe").string() : object.dli_fname;
  // A return address: the call lies before it.
  const auto offset = static_cast<const char*>(code) - static_cast<const char*>(object.dli_fbase) - 1;
  const std::vector<std::string> lines =
      lines_of(fmt::format("addr2line -s -i -f -C -e '{}' {:#x} 2>/dev/null", file, offset));
  // A function and its place, then those it was inlined into.
  if (lines.size() < 2 || lines[1].starts_with("??")) return fmt::format("{:#x}", offset);
  std::string text = place(lines[lines.size() - 1]);
  if (lines.size() > 2) text += fmt::format(" (through {})", place(lines[1]));
  return text + " in " + kernel_name(lines[lines.size() - 2]);
}

}  // namespace simt
