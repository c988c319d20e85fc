#include "visage/config/keys.h"

#include <sstream>

namespace visage::config {
namespace {

constexpr std::size_t kLineLength = 100;

/// Breaks at spaces, every line starting with `indent`.
std::string wrapped(const std::string& text, const std::string& indent) {
  std::istringstream words(text);
  std::string result, line = indent;
  for (std::string word; words >> word;) {
    if (line.size() > indent.size() && line.size() + 1 + word.size() > kLineLength) {
      result += line + '\n';
      line = indent;
    }
    if (line.size() > indent.size()) line += ' ';
    line += word;
  }
  return result + line + '\n';
}

enum class Comments { none, meanings };

/// Visitor that writes the keys as a TOML file.
struct FileWriter {
  Comments comments;
  std::string file, section;

  template <class T, class Rule>
  void operator()(const std::string& path, const T& field, const Rule& rule, const std::string& meaning) {
    const auto dot = path.rfind('.');
    const std::string of = dot == std::string::npos ? "" : path.substr(0, dot);
    if (of != section) {
      file += (file.empty() ? "[" : "\n[") + of + "]\n";
      section = of;
    }
    if (comments == Comments::meanings) file += '\n' + wrapped(meaning, "# ");
    file += path.substr(dot + 1) + " = " + text_of(rule.value(field));
    file += comments == Comments::meanings ? "  # " + rule.allowed() + '\n' : "\n";
  }
};

std::string written(const Config& config, Comments comments) {
  FileWriter writer{.comments = comments, .file = {}, .section = {}};
  visit_keys(config, writer);
  return writer.file.substr(writer.file.find_first_not_of('\n'));
}

}  // namespace

std::string describe() { return written(Config{}, Comments::meanings); }

std::string to_toml(const Config& config) { return written(config, Comments::none); }

std::vector<Difference> differences(const Config& before, const Config& after) {
  std::vector<Difference> keys;
  visit_keys(before, [&](const std::string& path, const auto& field, const auto& rule, const std::string&) {
    keys.push_back({.key = path, .before = text_of(rule.value(field)), .after = {}});
  });
  auto key = keys.begin();
  visit_keys(after, [&](const std::string&, const auto& field, const auto& rule, const std::string&) {
    (key++)->after = text_of(rule.value(field));
  });
  std::erase_if(keys, [](const Difference& d) { return d.before == d.after; });
  return keys;
}

}  // namespace visage::config
