#include "train/distributed/socket.h"

#include "tensor/log.h"
#include "train/distributed/communicator.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace visage::train {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// Of this machine, to listen at all of it, where there is no host.
Addresses resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;  // counts only without a host
  addrinfo* found = nullptr;
  const int status = getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &found);
  check<CommunicationError>(status == 0, "rendezvous: no machine ", host, ": ", gai_strerror(status));
  return {found, freeaddrinfo};
}

// Whether only processes of this machine can mean it by `host`.
bool is_loopback(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

// A machine that vanishes without a word is noticed after 5 + 3 * 5 seconds.
void configure(int descriptor) {
  const int on = 1, idle = 5, interval = 5, probes = 3;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

int milliseconds_to(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1000000));
}

[[noreturn]] void fail_gone(const std::string& peer, const std::string& why) {
  fail<CommunicationError>("", peer, " is gone (", why, "): it was stopped, failed or lost its machine; see what it ",
                           "printed last");
}

}  // namespace

Socket::Socket(Socket&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), peer_(std::move(other.peer_)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(peer_, other.peer_);
  return *this;
}

Socket::~Socket() {
  if (descriptor_ >= 0) close(descriptor_);
}

void Socket::set_patience(std::chrono::seconds longest) const {
  const timeval limit{longest.count(), 0};
  setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

void Socket::send(const void* data, std::size_t bytes) const {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = ::send(descriptor_, at, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) fail_gone(peer_, std::strerror(errno));
    at += sent;
    bytes -= static_cast<std::size_t>(sent);
  }
}

void Socket::receive(void* data, std::size_t bytes) const {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = recv(descriptor_, at, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail_gone(peer_, got == 0 ? "it closed the connection" : std::strerror(errno));
    at += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

bool Socket::closed_by_peer() const {
  pollfd state{descriptor_, POLLRDHUP, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

Socket listen_at(const std::string& host, int port) {
  // What a name says on its own machine is often an address that others cannot reach: 127.0.1.1 on Debian.
  const Addresses addresses = resolve(is_loopback(host) ? host : "", port);
  std::string why;
  for (const int family : {AF_INET6, AF_INET}) {  // that of version 6 takes both
    for (const addrinfo* a = addresses.get(); a; a = a->ai_next) {
      if (a->ai_family != family) continue;
      Socket listener(socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
      const int on = 1, off = 0;
      setsockopt(listener.descriptor(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (family == AF_INET6) setsockopt(listener.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      if (bind(listener.descriptor(), a->ai_addr, a->ai_addrlen) == 0 && listen(listener.descriptor(), SOMAXCONN) == 0)
        return listener;
      why = std::strerror(errno);
    }
  }
  fail<CommunicationError>("rendezvous: process 0 cannot listen at port ", port, " of its machine: ", why,
                           "; take another");
}

Socket accept_from(const Socket& listener, Deadline deadline) {
  while (true) {
    pollfd state{listener.descriptor(), POLLIN, 0};
    const int ready = poll(&state, 1, milliseconds_to(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return {};
    const int descriptor = accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) continue;
    configure(descriptor);
    return Socket(descriptor);
  }
}

Socket connect_to(const std::string& host, int port, Deadline deadline) {
  const Addresses addresses = resolve(host, port);
  const Deadline notice = std::chrono::steady_clock::now() + kSilence;
  for (bool told = false;;) {
    std::string why;
    for (const addrinfo* a = addresses.get(); a; a = a->ai_next) {
      Socket peer(socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
      if (connect(peer.descriptor(), a->ai_addr, a->ai_addrlen) == 0) {
        configure(peer.descriptor());
        return peer;
      }
      why = std::strerror(errno);
    }
    check<CommunicationError>(std::chrono::steady_clock::now() < deadline, "rendezvous: nobody listens at ", host, ":",
                              port, " (", why, "); start process 0 there");
    if (!told && std::chrono::steady_clock::now() >= notice) {
      log::info("waiting for process 0 at ", host, ":", port);
      told = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace visage::train
