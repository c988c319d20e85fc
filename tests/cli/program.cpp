#include "tests/cli/program.h"

#include "tests/support/files.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace visage::test {
namespace {

std::string temporary_file() {
  std::string name = "/tmp/visage_output_XXXXXX";
  const int descriptor = mkstemp(name.data());
  if (descriptor < 0) throw std::runtime_error("cannot make " + name);
  close(descriptor);
  return name;
}

void redirect(const std::string& file, int flags, int to) {
  const int descriptor = open(file.c_str(), flags);
  if (descriptor < 0 || dup2(descriptor, to) < 0) _exit(126);
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments, const Start& start)
    : out_(temporary_file()), err_(temporary_file()) {
  std::vector<char*> words;
  for (const std::string& argument : start.launcher) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(const_cast<char*>(VISAGE_BINARY));
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  process_ = fork();
  if (process_ < 0) throw std::runtime_error("cannot fork");
  if (process_ > 0) return;
  if (start.stdin_pipe < 0)
    redirect(start.stdin_file, O_RDONLY, STDIN_FILENO);
  else if (dup2(start.stdin_pipe, STDIN_FILENO) < 0)
    _exit(126);
  redirect(out_, O_WRONLY, STDOUT_FILENO);
  redirect(err_, O_WRONLY, STDERR_FILENO);
  if (start.largest_file >= 0) {
    const auto bytes = static_cast<rlim_t>(start.largest_file);
    const rlimit limit{bytes, bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (!start.temporary_folder.empty()) setenv("TMPDIR", start.temporary_folder.c_str(), 1);
  for (const auto& [name, value] : start.environment) setenv(name.c_str(), value.c_str(), 1);
  execvp(words[0], words.data());
  _exit(127);
}

Program::~Program() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  unlink(out_.c_str());
  unlink(err_.c_str());
}

void Program::signal(int number) const { kill(process_, number); }

Ended Program::wait() {
  int status = 0;
  rusage usage{};
  wait4(process_, &status, 0, &usage);
  process_ = -1;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(out_), read_text(err_),
          usage.ru_maxrss};
}

void expect_refusal(const Ended& ended, int code, const std::string& command, const std::string& named) {
  SCOPED_TRACE(ended.err);
  EXPECT_EQ(ended.code, code);
  EXPECT_THAT(ended.err, testing::StartsWith("visage " + command + ": "));
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1);
  EXPECT_THAT(ended.err, testing::HasSubstr(named));
  EXPECT_EQ(ended.out, "");
}

}  // namespace visage::test
