#pragma once
#include "tensor/dtype.h"
#include "tensor/shape.h"

#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>

namespace visage {

/// Base of everything the library throws. what() is one line: `where: rule broken; actual values`.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::source_location thrown_at = std::source_location::current())
      : std::runtime_error(message), thrown_at_(thrown_at) {}
  /// Source line of the failed check, for logs; not part of what().
  const std::source_location& thrown_at() const { return thrown_at_; }

 private:
  std::source_location thrown_at_;
};

struct ShapeError : Error {
  using Error::Error;
};
struct DTypeError : Error {
  using Error::Error;
};
struct DeviceError : Error {
  using Error::Error;
};
struct CudaError : Error {
  using Error::Error;
};
/// Host memory that cannot be had; that of a GPU is a CudaError.
struct MemoryError : Error {
  using Error::Error;
};
struct AutogradError : Error {
  using Error::Error;
};
/// A NaN or an infinity where a number is needed.
struct NonFiniteError : Error {
  using Error::Error;
};
/// A checkpoint that is damaged, hostile, or does not fit the model.
struct CheckpointError : Error {
  using Error::Error;
};
/// Media, annotations or other files the user gave that cannot be read, or output that cannot be written.
struct InputError : Error {
  using Error::Error;
};
/// Wrong use: an unknown option or configuration key, an impossible value. The command line exits with 2.
struct UsageError : Error {
  using Error::Error;
};

inline std::ostream& operator<<(std::ostream& out, const Dims& dims) {
  out << '[';
  for (int i = 0; i < dims.rank; ++i) out << (i ? ", " : "") << dims.d[i];
  return out << ']';
}
inline std::ostream& operator<<(std::ostream& out, DType type) { return out << name_of(type); }

/// Message start that remembers where it was written; built implicitly from a string literal.
struct Where {
  const char* text;
  std::source_location at;
  Where(const char* message, std::source_location location = std::source_location::current())
      : text(message), at(location) {}
};

template <class E = Error, class... Parts>
[[noreturn]] void fail(Where where, const Parts&... parts) {
  std::ostringstream message;
  message << where.text;
  ((message << parts), ...);
  throw E(message.str(), where.at);
}

/// Throws E with the concatenated parts when `ok` is false. Parts are formatted only on failure.
template <class E = Error, class... Parts>
void check(bool ok, Where where, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail<E>(where, parts...);
}

}  // namespace visage
