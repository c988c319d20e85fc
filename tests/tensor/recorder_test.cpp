#include "tensor/recorder.h"

#include "tensor/error.h"
#include "tensor/stage_timer.h"
#include "tensor/tensor.h"

#include <gmock/gmock.h>

#include <functional>
#include <thread>

namespace visage {
namespace recorder_test_names {

template <class T>
std::vector<T> in_template(T, std::source_location& where) {
  where = std::source_location::current();
  return {};
}

void in_lambda(std::source_location& where) {
  const std::function<void()> backward = [&where] { where = std::source_location::current(); };
  backward();
}

}  // namespace recorder_test_names

namespace {

using testing::ElementsAre;

TEST(Recorder, NamesAnOpByItsFunctionOrItsFile) {
  std::source_location in_template, in_lambda;
  (void)recorder_test_names::in_template(1.f, in_template);
  recorder_test_names::in_lambda(in_lambda);
  EXPECT_EQ(op_name(in_template), "in_template");
  EXPECT_EQ(op_name(in_lambda), "in_lambda") << "a lambda of an op works for the op";
  EXPECT_EQ(op_name(std::source_location::current()), "recorder_test") << "of a function that only the file knows";
}

TEST(Recorder, SeesStagesAndOpsInTheOrderTheyBegin) {
  Recorder recorder(Device{});
  {
    const StageTimer stage("stage");
    recorder.announce({.bytes = 8, .flops = 3});
    { const OpScope op("first"); }
    { const OpScope op("second"); }
  }
  { const OpScope op("outside"); }
  const std::vector<Span> spans = recorder.spans();
  std::vector<std::string> names;
  std::vector<int> parents;
  for (const Span& span : spans) {
    names.push_back(span.name);
    parents.push_back(span.parent);
    EXPECT_GE(span.seconds, 0);
    EXPECT_EQ(span.seconds, span.host_seconds);
    if (span.parent >= 0) {
      EXPECT_GE(span.start, spans[span.parent].start);
      EXPECT_LE(span.start + span.seconds, spans[span.parent].start + spans[span.parent].seconds);
    }
  }
  EXPECT_THAT(names, ElementsAre("stage", "first", "second", "outside"));
  EXPECT_THAT(parents, ElementsAre(-1, 0, 0, -1));
  ASSERT_TRUE(spans[1].work);
  EXPECT_EQ(spans[1].work->bytes, 8);
  EXPECT_EQ(spans[1].work->flops, 3);
  EXPECT_FALSE(spans[0].work);
  EXPECT_FALSE(spans[2].work) << "work belongs to one op";
}

TEST(Recorder, SeesTheMemoryOfTensors) {
  Recorder recorder(Device{});
  Tensor kept;
  {
    const OpScope op("allocates");
    kept = Tensor::empty({1 << 20});
  }
  {
    const OpScope op("releases");
    kept = {};
  }
  const std::vector<Span> spans = recorder.spans();
  EXPECT_EQ(spans[0].memory_after - spans[0].memory_before, std::size_t{4} << 20);
  EXPECT_EQ(spans[1].memory_after, spans[0].memory_before);
}

TEST(Recorder, RecordsItsThreadAndItsScopeOnly) {
  { const OpScope op("before"); }
  Recorder outer(Device{});
  {
    Recorder inner(Device{});
    EXPECT_EQ(Recorder::current(), &inner);
    { const OpScope op("inner"); }
    EXPECT_EQ(inner.spans().size(), 1);
  }
  std::thread([] { const OpScope op("elsewhere"); }).join();
  EXPECT_EQ(Recorder::current(), &outer);
  EXPECT_TRUE(outer.spans().empty());
}

TEST(Recorder, GivesNoSpansWhileOneIsOpen) {
  Recorder recorder(Device{});
  const OpScope op("open");
  EXPECT_THROW((void)recorder.spans(), Error);
}

}  // namespace
}  // namespace visage
