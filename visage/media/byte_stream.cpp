#include "visage/media/byte_stream.h"

#include "tensor/error.h"
#include "tensor/log.h"
#include "visage/media/sources.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace visage::media {
namespace {

constexpr int kWaitMilliseconds = 100;  // a signal that misses poll() is seen this late
constexpr int kSilentWaits = 10;        // until the person is told what is waited for

}  // namespace

ByteStream::ByteStream(const SourceOptions& options)
    : name_(shown_name(options.path)), stop_(options.stop), descriptor_(options.standard_input), owned_(false) {
  if (options.path == "-") return;
  // Without O_NONBLOCK this would wait for a writer, and stop() would not be asked.
  descriptor_ = ::open(options.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  owned_ = true;
  check<InputError>(descriptor_ >= 0, "cannot open ", name_, ": ", std::strerror(errno));
}

ByteStream::~ByteStream() {
  if (owned_) ::close(descriptor_);
}

ssize_t ByteStream::read(std::span<uint8_t> to) {
  while (true) {
    if (asked_to_stop()) return -1;
    // read() of a pipe that had no writer yet says that it has ended; poll() waits for one.
    pollfd event{descriptor_, POLLIN, 0};
    const int events = ::poll(&event, 1, kWaitMilliseconds);
    if (events < 0 && errno != EINTR) return -1;
    if (events == 0 && silent_waits_ < kSilentWaits && ++silent_waits_ == kSilentWaits)
      log::info("waiting for frames from ", name_);
    if (events <= 0) continue;
    silent_waits_ = kSilentWaits;
    const ssize_t got = ::read(descriptor_, to.data(), to.size());
    if (got == 0 && asked_to_stop()) return -1;  // Ctrl-C ends the program that writes as well
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) return got;
  }
}

bool ByteStream::asked_to_stop() {
  stopped_ = stop_ && stop_();
  if (stopped_) errno = EINTR;
  return stopped_;
}

}  // namespace visage::media
