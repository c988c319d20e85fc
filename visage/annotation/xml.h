#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Internal to visage/annotation.
namespace visage::annotation {

/// An element with all that is in it.
struct XmlElement {
  std::string name, text;  // text without the elements in between
  std::vector<std::pair<std::string, std::string>> attributes;
  std::vector<XmlElement> children;

  /// Null when there is none.
  [[nodiscard]] const std::string* attribute(std::string_view key) const;
  [[nodiscard]] const XmlElement* child(std::string_view key) const;
};

/// The root element. Declarations, comments and CDATA marks are passed over; a document type is refused, and with it
/// entities other than the five of XML and numbers. Throws InputError "name: line N: ..." for text that is not well
/// formed or nests deeper than 32 levels.
[[nodiscard]] XmlElement parse_xml(std::string_view text, const std::string& name);

}  // namespace visage::annotation
