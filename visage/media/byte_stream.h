#pragma once
#include "visage/media/frame_source.h"

#include <span>
#include <string>
#include <sys/types.h>

namespace visage::media {

/// The bytes of SourceOptions::standard_input (path "-") or of a named pipe, as they come. A wait for them ends with
/// SourceOptions::stop.
class ByteStream {
 public:
  /// Opens a named pipe without waiting for a program that writes to it. Throws InputError when it cannot.
  explicit ByteStream(const SourceOptions& options);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  /// Waits for bytes and reads what is there, as read(2): 0 at the end, that is when the last writer has closed; -1
  /// with the reason in errno, EINTR when it was stopped.
  ssize_t read(std::span<uint8_t> to);
  /// Whether the last read() was.
  bool stopped() const { return stopped_; }

 private:
  bool asked_to_stop();

  std::string name_;
  std::function<bool()> stop_;
  int descriptor_;
  bool owned_;
  int silent_waits_ = 0;  // before the first byte
  bool stopped_ = false;
};

}  // namespace visage::media
