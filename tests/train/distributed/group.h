#pragma once
#include "train/distributed/tcp.h"

#include <functional>
#include <memory>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace visage::test {

/// A port of this machine that nobody listens at.
inline int free_port() {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  const bool found = bind(descriptor, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                     getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  close(descriptor);
  return found ? ntohs(address.sin_port) : 0;
}

/// Calls run(group) on `size` threads, which are a group over TCP.
inline void in_group(int size, const std::function<void(train::HostCommunicator&)>& run) {
  const train::Rendezvous place{"127.0.0.1", free_port()};
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      const auto group = train::connect_tcp(place, rank, size, std::chrono::seconds(20));
      run(*group);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace visage::test
