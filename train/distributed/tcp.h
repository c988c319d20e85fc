#pragma once
#include "train/distributed/communicator.h"

#include <chrono>
#include <memory>
#include <string>

namespace visage::train {

/// Where the processes of a group meet: process 0 listens at the port, the others connect.
struct Rendezvous {
  std::string host;  // name or address of the machine of process 0, as the others know it
  int port = 0;
};

/// "host:port", "[v6 address]:port". throws UsageError.
[[nodiscard]] Rendezvous parse_rendezvous(const std::string& text);

/// Connects `size` processes over TCP; returns when all are there. Process 0 adds up what the others send it, in the
/// order of the ranks, which suits a few processes; large groups of CPUs want MPI. Whoever reaches the port can join
/// before the group is complete: use it in networks whose machines trust each other.
/// throws UsageError for impossible numbers, CommunicationError if not all come within `patience`, if two claim one
/// rank, or if they disagree about the size.
[[nodiscard]] std::unique_ptr<HostCommunicator> connect_tcp(const Rendezvous& place, int rank, int size,
                                                            std::chrono::seconds patience = std::chrono::minutes(5));

}  // namespace visage::train
