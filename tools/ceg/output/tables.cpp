// Markdown and LaTeX: the same sections, other frames.
#include <fmt/format.h>

#include "tools/ceg/output/output.h"
#include "tools/ceg/output/sections.h"

namespace isoloss::ceg {
namespace {

std::string markdown_escape(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '|' || c == '\\' || c == '*' || c == '_' || c == '<' || c == '[') result += '\\';
    result += c;
  }
  return result;
}

std::string latex_escape(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> replacements[] = {
      {"–", "--"},       {"·", "$\\cdot$"},
      {"…", "\\dots{}"}, {"\\", "\\textbackslash{}"},
      {"&", "\\&"},      {"%", "\\%"},
      {"$", "\\$"},      {"#", "\\#"},
      {"_", "\\_"},      {"{", "\\{"},
      {"}", "\\}"},      {"~", "\\textasciitilde{}"},
      {"<", "$<$"},      {"^", "\\textasciicircum{}"},
      {">", "$>$"},      {"`", "\\textasciigrave{}"}};
  std::string result;
  while (!text.empty()) {
    std::size_t taken = 0;
    for (const auto& [from, to] : replacements) {
      if (!text.starts_with(from)) continue;
      result += to, taken = from.size();
      break;
    }
    if (taken == 0) result += text.front(), taken = 1;
    text.remove_prefix(taken);
  }
  return result;
}

}  // namespace

std::string as_markdown(const Analysis& analysis) {
  std::string out = fmt::format("**{}**\n", markdown_escape(headline(analysis)));
  for (const Section& section : sections(analysis)) {
    out += fmt::format("\n### {}\n\n", markdown_escape(section.title));
    for (const std::string& note : section.notes) out += markdown_escape(note) + "\n\n";
    std::string rule = "|";
    out += "|";
    for (const Column& column : section.columns) {
      out += fmt::format(" {} |", markdown_escape(column.name));
      rule += column.align == Align::right ? "---:|" : "---|";
    }
    out += fmt::format("\n{}\n", rule);
    for (const SectionRow& row : section.rows) {
      out += "|";
      for (const std::string& cell : row.cells) out += fmt::format(" {} |", markdown_escape(cell));
      out += "\n";
    }
  }
  bool first = true;
  for (const Warning& warning : analysis.warnings) {
    if (!analysis.shows(warning)) continue;
    out += fmt::format("{}- {}\n", first ? "\n### warnings\n\n" : "", markdown_escape(warning.text));
    first = false;
  }
  return out;
}

std::string as_latex(const Analysis& analysis) {
  std::string out = fmt::format("% \\usepackage{{booktabs}}\n% {}\n", headline(analysis));
  for (const Section& section : sections(analysis)) {
    std::string layout, header;
    for (const Column& column : section.columns) {
      layout += column.align == Align::right ? 'r' : 'l';
      header += (header.empty() ? "" : " & ") + latex_escape(column.name);
    }
    out += fmt::format("\n\\begin{{table}}\n\\centering\n\\caption{{{}.", latex_escape(section.title));
    for (const std::string& note : section.notes) out += fmt::format(" {}.", latex_escape(note));
    out += fmt::format("}}\n\\begin{{tabular}}{{{}}}\n\\toprule\n{} \\\\\n\\midrule\n", layout, header);
    for (const SectionRow& row : section.rows) {
      std::string line;
      for (std::size_t i = 0; i < row.cells.size(); ++i) line += (i == 0 ? "" : " & ") + latex_escape(row.cells[i]);
      out += line + " \\\\\n";
    }
    out += "\\bottomrule\n\\end{tabular}\n\\end{table}\n";
  }
  bool any = false;
  for (const Warning& warning : analysis.warnings) {
    if (!analysis.shows(warning)) continue;
    out += fmt::format("{}\\item {}\n", any ? "" : "\n\\paragraph{Warnings}\n\\begin{itemize}\n",
                       latex_escape(warning.text));
    any = true;
  }
  if (any) out += "\\end{itemize}\n";
  return out;
}

}  // namespace isoloss::ceg
