#pragma once
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace visage::test {

/// How a run of the program ended.
struct Ended {
  int code = -1;  // exit code; 128 + signal when it was killed
  std::string out, err;
  long peak_kilobytes = 0;  // largest resident memory
};

struct Start {
  std::string stdin_file = "/dev/null";
  int stdin_pipe = -1;                // read end of a pipe, instead of the file
  long long largest_file = -1;        // bytes a file may have: a full disk
  std::string temporary_folder = {};  // TMPDIR
  std::vector<std::pair<std::string, std::string>> environment = {};
  std::vector<std::string> launcher = {};  // a program that starts this one, with its arguments
};

/// The visage program as a user starts it.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments, const Start& start = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const;
  Ended wait();

 private:
  std::string out_, err_;
  pid_t process_ = -1;
};

/// Runs the program to its end.
inline Ended run(const std::vector<std::string>& arguments, const Start& start = {}) {
  return Program(arguments, start).wait();
}

/// Expects that it ended with `code`, one line on stderr from "visage COMMAND" that holds `named`, and nothing on
/// stdout.
void expect_refusal(const Ended& ended, int code, const std::string& command, const std::string& named);

}  // namespace visage::test
