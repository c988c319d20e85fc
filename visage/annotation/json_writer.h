#pragma once
#include "tensor/files.h"

#include <cstdint>
#include <string>
#include <string_view>

// Internal to visage/annotation.
namespace visage::annotation {

/// Buffered pieces of JSON text in a file that appears under its name at close().
class JsonWriter {
 public:
  explicit JsonWriter(std::string path) : file_(std::move(path)) {}

  /// As it is.
  JsonWriter& text(std::string_view piece);
  JsonWriter& integer(int64_t value);
  /// Shortest form that reads back the same.
  JsonWriter& number(double value);
  /// Quoted and escaped.
  JsonWriter& string(std::string_view value);
  /// {"size": [height, width], "counts": compressed string}.
  JsonWriter& mask(int64_t height, int64_t width, std::string_view counts);
  void close();

 private:
  files::AtomicFile file_;
  std::string buffer_;
};

}  // namespace visage::annotation
