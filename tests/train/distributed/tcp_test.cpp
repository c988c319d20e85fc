#include "tests/support/values.h"
#include "tests/train/distributed/group.h"
#include "train/distributed/socket.h"

#include <gmock/gmock.h>

#include <atomic>
#include <netdb.h>

namespace visage::train {
namespace {

using std::chrono::seconds;
using testing::AnyOf;
using testing::HasSubstr;

std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DistributedTcp, SumsBroadcastsAndGathers) {
  for (const int size : {1, 2, 3}) {
    test::in_group(size, [&](HostCommunicator& group) {
      const int rank = group.rank();
      EXPECT_EQ(group.size(), size);
      for (int round = 0; round < 3; ++round) {
        Tensor x = Tensor::empty({1000}), y = Tensor::empty({3}, DType::f64), z = Tensor::empty({2}, DType::u8);
        for (int i = 0; i < 1000; ++i) x.data<float>()[i] = static_cast<float>(i + rank * round);
        for (int i = 0; i < 3; ++i) y.data<double>()[i] = 0.1 * (rank + 1);
        for (int i = 0; i < 2; ++i) z.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(7 * round + rank);
        group.all_reduce(x);
        group.all_reduce(y);
        group.broadcast(z);
        group.barrier();
        double ranks = 0, tenths = 0;
        for (int r = 0; r < size; ++r) {
          ranks += r;
          tenths = r == 0 ? 0.1 : tenths + 0.1 * (r + 1);
        }
        for (int i = 0; i < 1000; ++i)
          EXPECT_EQ(x.data<float>()[i], static_cast<float>(i * size + ranks * round)) << rank;
        EXPECT_EQ(y.data<double>()[2], tenths);
        EXPECT_EQ(z.data<std::uint8_t>()[1], 7 * round);
        const std::string mine(static_cast<std::size_t>(rank * 3), static_cast<char>('a' + rank));
        const std::vector<std::string> all = group.gather(mine);
        const std::vector<std::string> everything{"", "bbb", "cccccc"};
        if (rank == 0)
          EXPECT_EQ(all, std::vector<std::string>(everything.begin(), everything.begin() + size));
        else
          EXPECT_TRUE(all.empty());
      }
    });
  }
}

TEST(DistributedTcp, WhoIsLeftBehindIsTold) {
  std::atomic<int> told = 0;
  test::in_group(3, [&](HostCommunicator& group) {
    const Tensor x = Tensor::ones({4});
    group.all_reduce(x);
    if (group.rank() == 2) return;  // ends: its connection closes
    EXPECT_THAT(message_of([&] {
                  while (true) group.all_reduce(x);
                }),
                HasSubstr(group.rank() == 0 ? "process 2 is gone" : "process 0 is gone"));
    ++told;
  });
  EXPECT_EQ(told, 2);
}

TEST(DistributedTcp, KnowsWithoutWaitingThatAProcessIsGone) {
  test::in_group(2, [&](HostCommunicator& group) {
    group.barrier();
    if (group.rank() == 1) return;
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (!group.broken() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    EXPECT_TRUE(group.broken());
  });
}

TEST(DistributedTcp, ProcessesThatDoDifferentThingsAreStopped) {
  std::atomic<int> told = 0;
  test::in_group(2, [&](HostCommunicator& group) {
    const Tensor x = Tensor::ones({group.rank() == 0 ? 4 : 5});
    const std::string message = message_of([&] { group.all_reduce(x); });
    if (group.rank() == 0) {
      EXPECT_THAT(message, HasSubstr("process 1 calls all_reduce of 20 bytes as number 0 where"));
    }
    told += !message.empty();
  });
  EXPECT_EQ(told, 2);
}

TEST(DistributedTcp, RefusesAWrongGroup) {
  EXPECT_THROW(static_cast<void>(connect_tcp({"127.0.0.1", 1}, 2, 2)), UsageError);
  const Rendezvous place{"127.0.0.1", test::free_port()};
  EXPECT_THAT(message_of([&] { static_cast<void>(connect_tcp(place, 0, 2, seconds(0))); }),
              HasSubstr("only 1 of 2 processes came"));
  EXPECT_THAT(message_of([&] { static_cast<void>(connect_tcp(place, 1, 2, seconds(0))); }),
              HasSubstr("nobody listens at 127.0.0.1"));
  std::string first, second;
  std::thread zero([&] { first = message_of([&] { static_cast<void>(connect_tcp(place, 0, 2, seconds(20))); }); });
  second = message_of([&] { static_cast<void>(connect_tcp(place, 1, 3, seconds(20))); });
  zero.join();
  EXPECT_THAT(first, HasSubstr("process 1 was started for a group of 3, process 0 for one of 2"));
  EXPECT_EQ(first, second);
}

TEST(DistributedTcp, SaysOnceForWhomItWaits) {
  const Rendezvous place{"127.0.0.1", test::free_port()};
  const std::string address = "127.0.0.1:" + std::to_string(place.port) + "\n";
  for (const auto& [rank, line] : {std::pair(0, "waiting for 1 of 2 processes at " + address),
                                   std::pair(1, "waiting for process 0 at " + address)}) {
    testing::internal::CaptureStderr();
    EXPECT_THROW(static_cast<void>(connect_tcp(place, rank, 2, seconds(3))), CommunicationError);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), line);
  }
}

TEST(DistributedTcp, StrangersDoNotDisturb) {
  const Rendezvous place{"127.0.0.1", test::free_port()};
  std::thread zero([&] { connect_tcp(place, 0, 2, seconds(20))->barrier(); });
  const auto deadline = std::chrono::steady_clock::now() + seconds(20);
  { const Socket silent = connect_to(place.host, place.port, deadline); }
  const Socket browser = connect_to(place.host, place.port, deadline);
  browser.send("GET / HTTP/1.1\r\n\r\n", 18);
  connect_tcp(place, 1, 2, seconds(20))->barrier();
  zero.join();
}

std::string bound_address(const Socket& listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char text[NI_MAXHOST] = "";
  getsockname(listener.descriptor(), reinterpret_cast<sockaddr*>(&address), &length);
  getnameinfo(reinterpret_cast<sockaddr*>(&address), length, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

TEST(DistributedRendezvous, ListensToOtherMachinesUnlessItsNameIsLocal) {
  EXPECT_EQ(bound_address(listen_at("127.0.0.1", test::free_port())), "127.0.0.1");
  EXPECT_THAT(bound_address(listen_at("localhost", test::free_port())), AnyOf("127.0.0.1", "::1"));
  const int port = test::free_port();
  const Socket listener = listen_at("node7", port);
  EXPECT_THAT(bound_address(listener), AnyOf("::", "0.0.0.0"));
  EXPECT_TRUE(connect_to("127.0.0.1", port, std::chrono::steady_clock::now() + seconds(20)).is_open());
  EXPECT_THAT(message_of([&] { (void)listen_at("node8", port); }), HasSubstr("port " + std::to_string(port)));
}

TEST(DistributedRendezvous, TakesNamesAndAddresses) {
  EXPECT_EQ(parse_rendezvous("node7:29500").host, "node7");
  EXPECT_EQ(parse_rendezvous("node7:29500").port, 29500);
  EXPECT_EQ(parse_rendezvous("[fe80::1]:80").host, "fe80::1");
  for (const char* const wrong : {"", "node7", "node7:", ":80", "node7:0", "node7:65536", "node7:8o"})
    EXPECT_THROW(static_cast<void>(parse_rendezvous(wrong)), UsageError) << wrong;
}

}  // namespace
}  // namespace visage::train
