#include "train/distributed/tcp.h"

#include "tensor/log.h"
#include "train/distributed/socket.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace visage::train {
namespace {

// What a process says when it joins, and the answer: a text that is empty if it is welcome.
struct Hello {
  char magic[8] = {'V', 'I', 'S', 'A', 'G', 'E', ' ', '1'};
  std::int32_t size = 0, rank = 0;
};

enum class Call : std::uint32_t { all_reduce, broadcast, gather, barrier };

const char* name_of(Call call) {
  constexpr const char* kNames[] = {"all_reduce", "broadcast", "gather", "barrier"};
  const auto index = static_cast<std::size_t>(call);
  return index < std::size(kNames) ? kNames[index] : "?";
}

// Goes before the data of every call, so that processes that do different things notice.
struct Header {
  Call call = Call::barrier;
  std::uint32_t number = 0;  // of the call, from 0
  std::uint64_t bytes = 0;
};

void send_text(const Socket& to, const std::string& text) {
  const auto bytes = static_cast<std::uint64_t>(text.size());
  to.send(&bytes, sizeof bytes);
  to.send(text.data(), text.size());
}

std::string receive_text(const Socket& from, std::uint64_t most) {
  std::uint64_t bytes = 0;
  from.receive(&bytes, sizeof bytes);
  check<CommunicationError>(bytes <= most, "", from.peer(), " sent ", bytes, " bytes where at most ", most,
                            " are expected; do all processes run the same version?");
  std::string text(bytes, '\0');
  from.receive(text.data(), bytes);
  return text;
}

constexpr std::uint64_t kLongestAnswer = 4096;
constexpr std::uint64_t kLongestGathered = std::uint64_t{1} << 32;

template <class T>
void add(void* sum, const void* more, std::size_t bytes) {
  auto* const to = static_cast<T*>(sum);
  const auto* const from = static_cast<const T*>(more);
  for (std::size_t i = 0; i < bytes / sizeof(T); ++i) to[i] += from[i];
}

class Tcp final : public HostCommunicator {
 public:
  /// peers[r] leads to process r from process 0; from the others peers[0] leads there.
  Tcp(int rank, int size, std::vector<Socket> peers) : rank_(rank), size_(size), peers_(std::move(peers)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce(const Tensor& x) override {
    check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::f64, "all_reduce: needs f32 or f64; got ",
                      x.dtype());
    const std::size_t bytes = x.nbytes();
    if (rank_ == 0) {
      scratch_.resize(bytes);
      for (int r = 1; r < size_; ++r) {
        receive_header(r, Call::all_reduce, bytes);
        peers_[r].receive(scratch_.data(), bytes);
        (x.dtype() == DType::f32 ? add<float> : add<double>)(data_of(x), scratch_.data(), bytes);
      }
    } else {
      send_header(Call::all_reduce, bytes);
      peers_[0].send(data_of(x), bytes);
    }
    spread(x);
  }

  void broadcast(const Tensor& x) override {
    meet(Call::broadcast, x.nbytes());
    spread(x);
  }

  void barrier() override {
    meet(Call::barrier, 0);
    spread({});
  }

  std::vector<std::string> gather(const std::string& bytes) override {
    std::vector<std::string> all;
    if (rank_ == 0) {
      all.push_back(bytes);
      for (int r = 1; r < size_; ++r) {
        receive_header(r, Call::gather, 0);
        all.push_back(receive_text(peers_[r], kLongestGathered));
      }
    } else {
      send_header(Call::gather, 0);
      send_text(peers_[0], bytes);
    }
    ++calls_;
    return all;
  }

  bool broken() const override {
    for (const Socket& peer : peers_)
      if (peer.is_open() && peer.closed_by_peer()) return true;
    return false;
  }

 private:
  static void* data_of(const Tensor& x) { return x.view().data; }

  void send_header(Call call, std::uint64_t bytes) const {
    const Header header{call, calls_, bytes};
    peers_[0].send(&header, sizeof header);
  }
  void receive_header(int from, Call call, std::uint64_t bytes) const {
    Header header;
    peers_[from].receive(&header, sizeof header);
    check<CommunicationError>(header.call == call && header.number == calls_ && header.bytes == bytes, "process ", from,
                              " calls ", name_of(header.call), " of ", header.bytes, " bytes as number ", header.number,
                              " where process 0 calls ", name_of(call), " of ", bytes, " as number ", calls_,
                              "; all must run the same version with the same configuration");
  }

  // Every process tells process 0 what it is about to do.
  void meet(Call call, std::uint64_t bytes) const {
    if (rank_ != 0) return send_header(call, bytes);
    for (int r = 1; r < size_; ++r) receive_header(r, call, bytes);
  }

  // Process 0 gives x to all, or only a sign of life.
  void spread(const Tensor& x) {
    const char sign = 0;
    for (int r = 1; r < size_ && rank_ == 0; ++r) {
      peers_[r].send(&sign, 1);
      if (x) peers_[r].send(data_of(x), x.nbytes());
    }
    if (rank_ != 0) {
      char got = 0;
      peers_[0].receive(&got, 1);
      if (x) peers_[0].receive(data_of(x), x.nbytes());
    }
    ++calls_;
  }

  int rank_, size_;
  std::vector<Socket> peers_;
  std::vector<char> scratch_;
  std::uint32_t calls_ = 0;
};

bool is_visage(const Hello& hello) { return std::memcmp(hello.magic, "VISAGE", 6) == 0; }

std::string refusal(const Hello& hello, int size, const std::vector<Socket>& peers) {
  if (std::memcmp(hello.magic, Hello{}.magic, sizeof hello.magic) != 0) return "this is a visage of another version";
  const std::string who = "process " + std::to_string(hello.rank);
  if (hello.size != size)
    return who + " was started for a group of " + std::to_string(hello.size) + ", process 0 for one of " +
           std::to_string(size);
  if (hello.rank < 1 || hello.rank >= size || peers[static_cast<std::size_t>(hello.rank)].is_open())
    return who + " is there already; every process needs a rank of its own";
  return "";
}

std::vector<Socket> gather_group(const Rendezvous& place, int size, Deadline deadline) {
  const Socket listener = listen_at(place.host, place.port);
  std::vector<Socket> peers(static_cast<std::size_t>(size));
  Deadline notice = std::chrono::steady_clock::now() + kSilence;
  for (int there = 1; there < size;) {
    Socket peer = accept_from(listener, std::min(notice, deadline));
    if (!peer.is_open() && notice < deadline) {
      log::info("waiting for ", size - there, " of ", size, " processes at ", place.host, ":", place.port);
      notice = deadline;
      continue;
    }
    check<CommunicationError>(peer.is_open(), "rendezvous: only ", there, " of ", size, " processes came to ",
                              place.host, ":", place.port, "; start the others");
    Hello hello;
    try {
      peer.set_patience(std::chrono::seconds(5));
      peer.receive(&hello, sizeof hello);
      peer.set_patience(std::chrono::seconds(0));
    } catch (const CommunicationError&) {
      continue;
    }
    if (!is_visage(hello)) continue;  // a port scan, a health check
    const std::string why = refusal(hello, size, peers);
    send_text(peer, why);
    check<CommunicationError>(why.empty(), "rendezvous: ", why);
    peer.name_peer("process " + std::to_string(hello.rank));
    peers[static_cast<std::size_t>(hello.rank)] = std::move(peer);
    ++there;
  }
  return peers;
}

std::vector<Socket> join_group(const Rendezvous& place, int rank, int size, Deadline deadline) {
  std::vector<Socket> peers;
  peers.push_back(connect_to(place.host, place.port, deadline));
  peers[0].name_peer("process 0");
  Hello hello;
  hello.size = size;
  hello.rank = rank;
  peers[0].send(&hello, sizeof hello);
  const std::string why = receive_text(peers[0], kLongestAnswer);
  check<CommunicationError>(why.empty(), "rendezvous: ", why);
  return peers;
}

}  // namespace

Rendezvous parse_rendezvous(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  Rendezvous place{text.substr(0, colon == std::string::npos ? 0 : colon), 0};
  if (place.host.size() > 2 && place.host.front() == '[' && place.host.back() == ']')
    place.host = place.host.substr(1, place.host.size() - 2);
  const char* const first = text.data() + (colon == std::string::npos ? text.size() : colon + 1);
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, place.port);
  check<UsageError>(
      !place.host.empty() && error == std::errc() && end == last && place.port >= 1 && place.port <= 65535,
      "the rendezvous must be host:port with a port from 1 to 65535; got \"", text, "\"");
  return place;
}

std::unique_ptr<HostCommunicator> connect_tcp(const Rendezvous& place, int rank, int size,
                                              std::chrono::seconds patience) {
  check<UsageError>(size >= 1 && rank >= 0 && rank < size, "a group of ", size, " processes has no process ", rank,
                    "; ranks count from 0");
  const Deadline deadline = std::chrono::steady_clock::now() + patience;
  return std::make_unique<Tcp>(
      rank, size, rank == 0 ? gather_group(place, size, deadline) : join_group(place, rank, size, deadline));
}

}  // namespace visage::train
