#include "visage/config/value.h"

#include <array>
#include <charconv>

namespace visage::config {
namespace {

template <class Number>
std::string digits(Number number) {
  std::array<char, 32> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return {buffer.data(), end};
}

std::string quoted(const std::string& text) {
  constexpr char hex[] = "0123456789ABCDEF";
  std::string result = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      (result += '\\') += c;
    else if (code < 0x20 || code == 0x7f)
      ((result += "\\u00") += hex[code >> 4]) += hex[code & 15];
    else
      result += c;
  }
  return result + '"';
}

struct Writer {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const { return digits(value); }
  /// The shortest digits that read back as the same number, marked as a float.
  std::string operator()(double value) const {
    std::string text = digits(value);
    return text.find_first_of(".eni") == std::string::npos ? text + ".0" : text;
  }
  std::string operator()(const std::string& value) const { return quoted(value); }
  std::string operator()(const std::vector<std::string>& value) const {
    std::string text = "[";
    for (const std::string& name : value) (text += text.size() > 1 ? ", " : "") += quoted(name);
    return text + ']';
  }
};

}  // namespace

std::string text_of(const Value& value) { return std::visit(Writer{}, value); }

}  // namespace visage::config
