#include "train/distributed/world.h"

#include "tensor/device.h"
#include "train/distributed/mpi.h"
#include "train/distributed/nccl.h"
#include "train/distributed/tcp.h"

#include <charconv>
#include <cstdlib>

namespace visage::train {
namespace {

std::optional<int> number(const char* text) {
  if (!text) return std::nullopt;
  int value = 0;
  const std::string_view digits = text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

// Steps of one job may run at once, each wants its own port.
int slurm_port(int job, int step) { return 20000 + (job * 7 + step) % 20000; }

std::unique_ptr<HostCommunicator> connect(const WorldOptions& options, const Launch& launch) {
  const bool named = options.rank || options.size || !options.rendezvous.empty();
  if (named) {
    check<UsageError>(options.rank && options.size && !options.rendezvous.empty(),
                      "a group needs all three: the rank of this process, the number of processes and the rendezvous");
    return connect_tcp(parse_rendezvous(options.rendezvous), *options.rank, *options.size);
  }
  if (launch.size <= 1) return std::make_unique<SingleProcess>();
  // srun tells its ranks in both languages.
  if (launch.kind == Launch::Kind::mpi && (has_mpi() || launch.rendezvous.empty())) return connect_mpi();
  return connect_tcp(parse_rendezvous(launch.rendezvous), launch.rank, launch.size);
}

Launch launch_here() {
  return launch_of([](const char* name) { return std::getenv(name); });
}

}  // namespace

std::string first_node(const std::string& nodes) {
  const std::size_t bracket = nodes.find_first_of("[,");
  if (bracket == std::string::npos || nodes[bracket] == ',') return nodes.substr(0, bracket);
  const std::size_t end = nodes.find_first_of("-,]", bracket), closing = nodes.find(']', bracket);
  check<UsageError>(end != std::string::npos && closing != std::string::npos, "Slurm: cannot read the node list ",
                    nodes);
  return nodes.substr(0, bracket) + nodes.substr(bracket + 1, end - bracket - 1) +
         nodes.substr(closing + 1, nodes.find(',', closing) - closing - 1);
}

Launch launch_of(const std::function<const char*(const char*)>& value) {
  const auto first = [&](std::initializer_list<const char*> names) -> std::optional<int> {
    for (const char* const name : names)
      if (const auto found = number(value(name))) return found;
    return std::nullopt;
  };
  Launch launch;
  launch.local_rank = first({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}).value_or(0);
  const auto mpi_rank = first({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"});
  // Under srun with a PMI plugin the size is Slurm's. Without srun, in a batch script, there is no step.
  const auto mpi_size = first({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"});
  const auto slurm_rank = first({"SLURM_PROCID"}), slurm_size = first({"SLURM_STEP_NUM_TASKS"});
  const char* const nodes = value("SLURM_STEP_NODELIST");
  if (slurm_rank && slurm_size && nodes) {
    launch.kind = Launch::Kind::slurm;
    launch.rank = *slurm_rank;
    launch.size = *slurm_size;
    launch.rendezvous =
        first_node(nodes) + ":" +
        std::to_string(slurm_port(first({"SLURM_JOB_ID"}).value_or(0), first({"SLURM_STEP_ID"}).value_or(0)));
  }
  if (mpi_rank && mpi_size) {
    launch.kind = Launch::Kind::mpi;
    launch.rank = *mpi_rank;
    launch.size = *mpi_size;
  }
  return launch;
}

World::World() : host_(std::make_unique<SingleProcess>()) {}

World::World(const WorldOptions& options) {
  const Launch launch = launch_here();
  host_ = connect(options, launch);
  local_rank_ = launch.kind == Launch::Kind::none ? rank() : launch.local_rank;
}

Device World::use_device(const std::string& name) {
  const int gpus = cuda_device_count();
  const bool own = size() > 1 && gpus > 0 && (name == "cuda" || name == "auto");
  const Device device = visage::use_device(own ? "cuda:" + std::to_string(local_rank_ % gpus) : name);
  if (size() > 1 && device.type == DeviceType::cuda) device_ = connect_nccl(*host_, device);
  return device;
}

}  // namespace visage::train
