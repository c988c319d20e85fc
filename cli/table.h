#pragma once
#include <cstddef>
#include <iosfwd>
#include <string>
#include <vector>

namespace visage::cli {

/// Text of at least `width` characters of UTF-8, filled up with spaces on the named other side.
[[nodiscard]] std::string right(const std::string& text, std::size_t width);
[[nodiscard]] std::string left(std::string text, std::size_t width);
/// Characters of UTF-8 text.
[[nodiscard]] std::size_t characters(const std::string& text);

/// Rows of cells below headings; the first column is text, the others are numbers.
struct Table {
  std::string title;
  std::vector<std::string> headings;
  std::vector<std::vector<std::string>> rows;  // as many cells as headings

  void print(std::ostream& out) const;
  /// With the title as a heading of the second level.
  [[nodiscard]] std::string markdown() const;
};

/// Puts generated text into a Markdown file, between the lines "<!-- begin NAME -->" and "<!-- end NAME -->"; a file
/// that does not exist or lacks them gets them at its end. Everything else in it stays.
class MarkdownSection {
 public:
  /// Reads the file. throws InputError if it cannot be read or written, or only one of the lines is there.
  MarkdownSection(std::string path, const std::string& name);
  /// throws InputError.
  void write(const std::string& text) const;

 private:
  std::string path_, before_, after_;
};

}  // namespace visage::cli
