#include "train/distributed/world.h"

#include "tensor/error.h"

#include <gtest/gtest.h>

#include <map>

namespace visage::train {
namespace {

Launch launch_in(const std::map<std::string, std::string>& environment) {
  return launch_of([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(DistributedLaunch, ReadsWhatLaunchersLeave) {
  EXPECT_EQ(launch_in({}).kind, Launch::Kind::none);
  const Launch open_mpi =
      launch_in({{"OMPI_COMM_WORLD_RANK", "5"}, {"OMPI_COMM_WORLD_SIZE", "8"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}});
  EXPECT_EQ(open_mpi.kind, Launch::Kind::mpi);
  EXPECT_EQ(open_mpi.rank, 5);
  EXPECT_EQ(open_mpi.size, 8);
  EXPECT_EQ(open_mpi.local_rank, 1);
  EXPECT_EQ(launch_in({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}).kind, Launch::Kind::mpi);
}

TEST(DistributedLaunch, ReadsSlurm) {
  const std::map<std::string, std::string> step{{"SLURM_PROCID", "3"},     {"SLURM_STEP_NUM_TASKS", "4"},
                                                {"SLURM_LOCALID", "1"},    {"SLURM_STEP_NODELIST", "gpu[07-08]"},
                                                {"SLURM_JOB_ID", "12345"}, {"SLURM_STEP_ID", "0"}};
  const Launch launch = launch_in(step);
  EXPECT_EQ(launch.kind, Launch::Kind::slurm);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.rendezvous, "gpu07:" + std::to_string(20000 + 12345 * 7 % 20000));
  // A batch script has a rank of its own, but nobody else runs the program.
  EXPECT_EQ(launch_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_NODELIST", "gpu[07-08]"}}).size, 1);
}

TEST(DistributedFirstNode, OfNodeLists) {
  EXPECT_EQ(first_node("n1"), "n1");
  EXPECT_EQ(first_node("n1,n2"), "n1");
  EXPECT_EQ(first_node("gpu[07-12,15],cpu3"), "gpu07");
  EXPECT_EQ(first_node("gpu[3]"), "gpu3");
  EXPECT_EQ(first_node("rack[1-2]-node,x"), "rack1-node");
  EXPECT_THROW(static_cast<void>(first_node("gpu[07")), UsageError);
}

TEST(DistributedWorld, NeedsAllThreeOrNone) {
  EXPECT_EQ(World(WorldOptions{}).size(), 1);
  EXPECT_THROW(World(WorldOptions{.rank = 0}), UsageError);
  EXPECT_THROW(World({.rank = 0, .size = 2}), UsageError);
  EXPECT_THROW(World({.rank = {}, .size = 2, .rendezvous = "a:1"}), UsageError);
}

}  // namespace
}  // namespace visage::train
