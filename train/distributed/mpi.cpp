#include "train/distributed/mpi.h"

#ifdef VISAGE_MPI
#include <exception>
#include <limits>
#include <mpi.h>
#include <numeric>
#endif

namespace visage::train {

#ifdef VISAGE_MPI
namespace {

void check_mpi(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(status, text, &length);
  fail<CommunicationError>("", what, ": ", std::string(text, static_cast<std::size_t>(length)),
                           "; if another process is gone, see what it printed last");
}

int count_of(std::size_t count) {
  check<CommunicationError>(count <= static_cast<std::size_t>(std::numeric_limits<int>::max()), "MPI: ", count,
                            " elements are too many for one call");
  return static_cast<int>(count);
}

class Mpi final : public HostCommunicator {
 public:
  Mpi() {
    int provided = 0;
    // Calls come from the thread that reduces gradients too, one at a time.
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    check<CommunicationError>(provided >= MPI_THREAD_SERIALIZED, "MPI: this library serves one thread only; use one ",
                              "built with thread support");
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  }
  ~Mpi() override {
    if (std::uncaught_exceptions() == 0) MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce(const Tensor& x) override {
    check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::f64, "all_reduce: needs f32 or f64; got ",
                      x.dtype());
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, x.view().data, count_of(static_cast<std::size_t>(x.numel())),
                            x.dtype() == DType::f32 ? MPI_FLOAT : MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD),
              "MPI_Allreduce");
  }
  void broadcast(const Tensor& x) override {
    check_mpi(MPI_Bcast(x.view().data, count_of(x.nbytes()), MPI_BYTE, 0, MPI_COMM_WORLD), "MPI_Bcast");
  }
  void barrier() override { check_mpi(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier"); }

  std::vector<std::string> gather(const std::string& bytes) override {
    const int mine = count_of(bytes.size());
    std::vector<int> counts(static_cast<std::size_t>(size_)), starts(counts.size());
    check_mpi(MPI_Gather(&mine, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, MPI_COMM_WORLD), "MPI_Gather");
    std::size_t total = 0;
    for (std::size_t r = 0; r < counts.size(); ++r) {
      starts[r] = count_of(total);
      total += static_cast<std::size_t>(counts[r]);
    }
    std::string all(rank_ == 0 ? static_cast<std::size_t>(count_of(total)) : 0, '\0');
    check_mpi(MPI_Gatherv(bytes.data(), mine, MPI_BYTE, all.data(), counts.data(), starts.data(), MPI_BYTE, 0,
                          MPI_COMM_WORLD),
              "MPI_Gatherv");
    std::vector<std::string> parts;
    for (std::size_t r = 0; r < counts.size() && rank_ == 0; ++r)
      parts.push_back(all.substr(static_cast<std::size_t>(starts[r]), static_cast<std::size_t>(counts[r])));
    return parts;
  }

 private:
  int rank_ = 0, size_ = 1;
};

}  // namespace

bool has_mpi() { return true; }
std::unique_ptr<HostCommunicator> connect_mpi() { return std::make_unique<Mpi>(); }

#else

bool has_mpi() { return false; }
std::unique_ptr<HostCommunicator> connect_mpi() {
  fail<UsageError>("this build has no MPI: install libopenmpi-dev and openmpi-bin and build again, or start the ",
                   "processes by hand with a rank each and a rendezvous");
}

#endif

}  // namespace visage::train
