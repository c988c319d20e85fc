#include "cli/table.h"

#include "tensor/error.h"
#include "tensor/files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>

namespace visage::cli {

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string right(const std::string& text, std::size_t width) {
  const std::size_t length = characters(text);
  return length < width ? std::string(width - length, ' ') + text : text;
}

std::string left(std::string text, std::size_t width) {
  const std::size_t length = characters(text);
  if (length < width) text.append(width - length, ' ');
  return text;
}

void Table::print(std::ostream& out) const {
  std::vector<std::size_t> widths;
  for (const std::string& heading : headings) widths.push_back(characters(heading));
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], characters(row[i]));
  const auto print_row = [&](const std::vector<std::string>& row) {
    std::string line = left(row.front(), widths.front());
    for (std::size_t i = 1; i < row.size(); ++i) line += "  " + right(row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  };
  out << title << "\n\n";
  print_row(headings);
  for (const auto& row : rows) print_row(row);
}

std::string Table::markdown() const {
  std::string text = "## " + title + "\n\n";
  const auto add_row = [&](const std::vector<std::string>& row) {
    for (const std::string& cell : row) text += "| " + cell + " ";
    text += "|\n";
  };
  add_row(headings);
  text += "|---";
  for (std::size_t i = 1; i < headings.size(); ++i) text += "|---:";
  text += "|\n";
  for (const auto& row : rows) add_row(row);
  return text;
}

MarkdownSection::MarkdownSection(std::string path, const std::string& name) : path_(std::move(path)) {
  const std::string begin = "<!-- begin " + name + " -->\n", end = "<!-- end " + name + " -->";
  std::string text;
  if (std::filesystem::exists(path_)) {
    std::ifstream file(path_, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(file), {});
    check<InputError>(file.good() || file.eof(), "", path_, ": cannot be read");
  }
  const files::TemporaryPath writable(path_, files::Kind::file);
  const std::size_t from = text.find(begin), to = text.find(end);
  check<InputError>(
      (from == std::string::npos) == (to == std::string::npos) && (from == std::string::npos || from < to), "", path_,
      ": the lines \"<!-- begin ", name, " -->\" and \"", end,
      "\" belong together; remove the one that is left, or choose another file");
  if (from == std::string::npos) {
    before_ = (text.empty() ? "" : text + "\n") + begin;
    after_ = end + "\n";
  } else {
    before_ = text.substr(0, from + begin.size());
    after_ = text.substr(to);
  }
}

void MarkdownSection::write(const std::string& text) const {
  files::AtomicFile file(path_);
  file.write(before_ + text + after_);
  file.commit();
}

}  // namespace visage::cli
