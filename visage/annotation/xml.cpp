#include "visage/annotation/xml.h"

#include "tensor/error.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace visage::annotation {
namespace {

constexpr int kMaxDepth = 32;
constexpr std::string_view kSpace = " \t\r\n";

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[more] | code >> (6 * more));
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | (code >> (6 * i) & 0x3F));
}

class XmlParser {
 public:
  XmlParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  XmlElement run() {
    skip_misc();
    expect(at("<"), "an element must begin here");
    XmlElement root = element(1);
    skip_misc();
    expect(position_ == text_.size(), "there is something after the root element");
    return root;
  }

 private:
  bool at(std::string_view token) const { return text_.substr(position_).starts_with(token); }

  void expect(bool ok, const char* rule) const {
    if (ok) return;
    const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(position_, text_.size()));
    fail<InputError>("", name_, ": line ", 1 + std::count(text_.begin(), end, '\n'), ": not valid XML: ", rule);
  }

  void skip_space() { position_ = std::min(text_.find_first_not_of(kSpace, position_), text_.size()); }

  // What stands before `end`, which is passed over.
  std::string_view until(std::string_view end) {
    const size_t found = text_.find(end, position_);
    expect(found != text_.npos, "it ends too early");
    const std::string_view part = text_.substr(position_, found - position_);
    position_ = found + end.size();
    return part;
  }

  bool skip_comment() {
    if (!at("<!--") && !at("<?")) return false;
    (void)until(at("<?") ? "?>" : "-->");
    return true;
  }

  void skip_misc() {
    if (at("\xEF\xBB\xBF")) position_ += 3;
    for (skip_space(); skip_comment();) skip_space();
    expect(!at("<!"), "document types are not read");
  }

  std::string word() {
    const size_t begin = position_;
    position_ = std::min(text_.find_first_of(" \t\r\n=/><\"'", position_), text_.size());
    expect(position_ > begin, "a name is missing");
    return std::string(text_.substr(begin, position_ - begin));
  }

  std::string decoded(std::string_view raw) const {
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '&') {
        out += raw[i];
        continue;
      }
      const size_t end = raw.find(';', i);
      expect(end != raw.npos, "an entity has no end");
      append_entity(out, raw.substr(i + 1, end - i - 1));
      i = end;
    }
    return out;
  }

  void append_entity(std::string& out, std::string_view entity) const {
    constexpr std::pair<std::string_view, char> kNamed[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (const auto& [name, character] : kNamed) {
      if (entity != name) continue;
      out += character;
      return;
    }
    expect(entity.starts_with('#'), "an entity is unknown");
    const bool hex = entity.starts_with("#x");
    const std::string_view digits = entity.substr(hex ? 2 : 1);
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
    expect(error == std::errc() && end == digits.data() + digits.size() && code > 0 && code < 0x110000,
           "a character number is none");
    append_utf8(out, code);
  }

  // Whether the element has content.
  bool attributes(XmlElement& element) {
    while (true) {
      skip_space();
      if (at("/>")) return position_ += 2, false;
      if (at(">")) return position_ += 1, true;
      std::string key = word();
      skip_space();
      expect(at("="), "an attribute has no value");
      ++position_;
      skip_space();
      expect(at("\"") || at("'"), "an attribute's value has no quotes");
      const char quote[] = {text_[position_++], 0};
      element.attributes.emplace_back(std::move(key), decoded(until(quote)));
    }
  }

  XmlElement element(int depth) {
    expect(depth <= kMaxDepth, "nested deeper than 32 levels");
    ++position_;
    XmlElement element{.name = word(), .text = {}, .attributes = {}, .children = {}};
    if (!attributes(element)) return element;
    while (!at("</")) {
      if (skip_comment()) continue;
      if (at("<![CDATA[")) {
        position_ += 9;
        element.text += until("]]>");
      } else if (at("<")) {
        element.children.push_back(this->element(depth + 1));
      } else {
        const size_t end = text_.find('<', position_);
        expect(end != text_.npos, "an element is not closed");
        element.text += decoded(text_.substr(position_, end - position_));
        position_ = end;
      }
    }
    position_ += 2;
    expect(word() == element.name, "an end tag is of another element");
    skip_space();
    expect(at(">"), "an end tag is not closed");
    ++position_;
    return element;
  }

  std::string_view text_;
  const std::string& name_;
  size_t position_ = 0;
};

}  // namespace

const std::string* XmlElement::attribute(std::string_view key) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(), [&](const auto& a) { return a.first == key; });
  return found == attributes.end() ? nullptr : &found->second;
}

const XmlElement* XmlElement::child(std::string_view key) const {
  const auto found = std::find_if(children.begin(), children.end(), [&](const XmlElement& e) { return e.name == key; });
  return found == children.end() ? nullptr : &*found;
}

XmlElement parse_xml(std::string_view text, const std::string& name) { return XmlParser(text, name).run(); }

}  // namespace visage::annotation
