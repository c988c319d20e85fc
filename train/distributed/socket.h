#pragma once
#include <chrono>
#include <cstddef>
#include <string>

namespace visage::train {

/// An open TCP socket that belongs to this object. Functions throw CommunicationError "`peer` ...".
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  /// Who is at the other end, for messages.
  void name_peer(std::string peer) { peer_ = std::move(peer); }
  const std::string& peer() const { return peer_; }

  /// How long receive() waits for more; 0, the default: for ever.
  void set_patience(std::chrono::seconds longest) const;
  void send(const void* data, std::size_t bytes) const;
  void receive(void* data, std::size_t bytes) const;
  /// Whether the other end has closed the connection.
  bool closed_by_peer() const;

 private:
  int descriptor_ = -1;
  std::string peer_ = "a process";
};

using Deadline = std::chrono::steady_clock::time_point;
/// How long a process waits for others without a word.
inline constexpr std::chrono::seconds kSilence{2};

/// Listens at the port, on all addresses of this machine; where `host` is "localhost" or a loopback address, at that
/// alone.
[[nodiscard]] Socket listen_at(const std::string& host, int port);
/// The next connection; a closed socket at the deadline.
[[nodiscard]] Socket accept_from(const Socket& listener, Deadline deadline);
/// Connects to host:port, where process 0 listens, and tries again until the deadline while nobody does; says once that
/// it waits if that takes longer than kSilence.
[[nodiscard]] Socket connect_to(const std::string& host, int port, Deadline deadline);

}  // namespace visage::train
