#include "visage/annotation/json_writer.h"

#include <charconv>

namespace visage::annotation {
namespace {

constexpr size_t kFlushAt = size_t{1} << 18;

template <class Number>
void append(std::string& out, Number value) {
  char digits[32];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

}  // namespace

JsonWriter& JsonWriter::text(std::string_view piece) {
  buffer_ += piece;
  if (buffer_.size() >= kFlushAt) {
    file_.write(buffer_);
    buffer_.clear();
  }
  return *this;
}

JsonWriter& JsonWriter::integer(int64_t value) {
  append(buffer_, value);
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  append(buffer_, value);
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
  constexpr char kHex[] = "0123456789abcdef";
  buffer_ += '"';
  for (const char c : value) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      (buffer_ += '\\') += c;
    } else if (code < 0x20) {
      ((buffer_ += "\\u00") += kHex[code >> 4]) += kHex[code & 15];
    } else {
      buffer_ += c;
    }
  }
  return text("\"");
}

JsonWriter& JsonWriter::mask(int64_t height, int64_t width, std::string_view counts) {
  text("{\"size\":[").integer(height).text(",").integer(width);
  return text("],\"counts\":").string(counts).text("}");
}

void JsonWriter::close() {
  file_.write(buffer_);
  buffer_.clear();
  file_.commit();
}

}  // namespace visage::annotation
