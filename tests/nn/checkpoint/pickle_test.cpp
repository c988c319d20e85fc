#include "nn/checkpoint/pickle.h"

#include "nn/checkpoint/parse.h"
#include "tests/nn/checkpoint/checkpoint_test_support.h"

#include <gmock/gmock.h>

namespace visage::nn {
namespace {

using test::message_of;
using testing::HasSubstr;
using namespace std::string_literals;

const std::string kProto = "\x80\x02"s;

/// GCC 12 warns wrongly about literals added to the front of a temporary string.
template <class... Parts>
std::string join(const Parts&... parts) {
  std::string result;
  ((result += parts), ...);
  return result;
}
std::string u32(std::uint32_t value) { return {reinterpret_cast<const char*>(&value), 4}; }
std::string text(const std::string& value) { return join("X", u32(static_cast<std::uint32_t>(value.size())), value); }
std::string small_tuple(const std::string& items) { return join("(", items, "t"); }

const std::string kDType = "cnumpy\ndtype\n" + small_tuple(text("f4") + "\x89\x88") + "R" +
                           small_tuple("K\x03" + text("<") + "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK"s + '\0') + "b";

/// A one-dimensional f4 array of four elements whose bytes come from this expression.
std::string array_of(const std::string& bytes_expression) {
  return "cnumpy.core.multiarray\n_reconstruct\n)R" +
         small_tuple("K\x01" + small_tuple("K\x04") + kDType + "\x89" + bytes_expression) + "b";
}
std::string model_with(const std::string& items) { return kProto + "}" + text("model") + "}(" + items + "us."; }

pickle::Value read_value(const std::string& content) {
  static std::vector<std::unique_ptr<pickle::Reader>> readers;  // values point into their reader
  const FileBytes file = file_bytes("some.pkl", content);
  readers.push_back(std::make_unique<pickle::Reader>(file, 0, file.size));
  return readers.back()->read();
}

std::string refusal(const std::string& content) {
  return message_of<CheckpointError>([&] { parse_checkpoint(file_bytes("some.pkl", content)); });
}

TEST(Pickle, Scalars) {
  EXPECT_EQ(std::get<std::int64_t>(read_value(kProto + "J\xfe\xff\xff\xff.")), -2);
  EXPECT_EQ(std::get<std::int64_t>(read_value(kProto + "M\x01\x02.")), 0x201);
  EXPECT_EQ(std::get<std::int64_t>(read_value(kProto + "\x8a\x02\x00\xff."s)), -256);
  EXPECT_EQ(std::get<std::int64_t>(read_value(kProto + "\x8a\x00."s)), 0);
  EXPECT_EQ(std::get<std::int64_t>(read_value(kProto + "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."s)), INT64_MAX);
  EXPECT_EQ(std::get<double>(read_value(kProto + "G\xbf\xf8\0\0\0\0\0\0."s)), -1.5);
  EXPECT_EQ(std::get<pickle::Text>(read_value(kProto + text("h\xc3\xa9") + ".")).value, "h\xc3\xa9");
  EXPECT_EQ(std::get<bool>(read_value(kProto + "\x88.")), true);
}

TEST(Pickle, ArraysOfEveryByteSource) {
  const std::string data("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16);  // 1, 2, 3, 4
  const std::string latin1("\0\0\xc2\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\xc2\x80\x40", 18);
  const std::string encoded = "c_codecs\nencode\n" + small_tuple(text(latin1) + text("latin1")) + "R";
  for (const std::string& bytes : {join("C\x10", data), join("B", u32(16), data), join("U\x10", data), encoded}) {
    const Checkpoint read = parse_checkpoint(file_bytes("some.pkl", model_with(text("a") + array_of(bytes))));
    ASSERT_EQ(read.tensors.size(), 1u);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(read.tensors[0].value.data<float>()[i], static_cast<float>(i + 1));
  }
}

TEST(Pickle, NestedStateDictsAreJoined) {
  const std::string array = array_of("C\x10" + std::string(16, '\0'));
  const Checkpoint read =
      parse_checkpoint(file_bytes("some.pkl", model_with(text("backbone") + "}" + text("w") + array + "s")));
  ASSERT_EQ(read.tensors.size(), 1u);
  EXPECT_EQ(read.tensors[0].name, "backbone.w");
}

TEST(Pickle, ForeignNamesAreRefusedByName) {
  EXPECT_THAT(refusal(kProto + "cos\nsystem\n" + small_tuple(text("true")) + "R."), HasSubstr("'os.system'"));
  EXPECT_THAT(refusal(kProto + text("builtins") + text("exec") + "\x93)R."), HasSubstr("'builtins.exec'"));
  EXPECT_THAT(refusal(kProto + "ctorch\nShortStorage\n."), HasSubstr("'torch.ShortStorage'"));
  EXPECT_THAT(refusal(kProto + "cnumpy\nndarray\n)R."), HasSubstr("numpy.ndarray cannot be called"));
  EXPECT_THAT(refusal(kProto + "cnumpy\ndtype\n" + small_tuple(text("O8")) + "R."), HasSubstr("'O8' is not supported"));
  EXPECT_THAT(refusal(kProto + "(ios\nsystem\n."), HasSubstr("operation 105"));
  EXPECT_THAT(refusal(kProto + "K\x01)R."), HasSubstr("not a constructor"));
  EXPECT_THAT(refusal(kProto + "]}b."), HasSubstr("sets the state"));
}

TEST(Pickle, ArraysThatDoNotFitAreRefused) {
  EXPECT_THAT(refusal(model_with(text("a") + array_of("C\x08" + std::string(8, 'x')))), HasSubstr("'a': its shape"));
  EXPECT_THAT(refusal(model_with(text("a") + "cnumpy.core.multiarray\n_reconstruct\n)R")), HasSubstr("without data"));
  const std::string twice = text("a") + array_of("C\x10" + std::string(16, 'x'));
  EXPECT_THAT(refusal(model_with(twice + twice)), HasSubstr("'a': is listed twice"));
}

TEST(Pickle, FilesWithoutTensorsAreRefused) {
  EXPECT_THAT(refusal(kProto + "]."), HasSubstr("no dictionary of tensors"));
  EXPECT_THAT(refusal(kProto + "}."), HasSubstr("holds no tensors"));
}

TEST(Pickle, CyclesAndSharedNestingEnd) {
  // d = {"x": d}
  EXPECT_THAT(refusal(kProto + "}q\0"s + text("x") + "h\0s."s), HasSubstr("nested too deeply"));
  // {"x": d} with d = {"model": d}
  EXPECT_THAT(refusal(kProto + "}q\0"s + text("model") + "h\0s."s), HasSubstr("nested too deeply"));
  // l = [l]: no stack, no leak
  EXPECT_THAT(refusal(kProto + "]q\0h\0a."s), HasSubstr("no dictionary"));
  // Every level holds the level below 60 times: 60^8 paths. The mark keeps the lower levels off the final stack.
  std::string bomb = kProto + "(}q\0"s;
  for (char level = 1; level <= 8; ++level) {
    bomb += "}(";
    for (int i = 0; i < 60; ++i) {
      bomb += text(join("k", std::to_string(i))) + "h";
      bomb += static_cast<char>(level - 1);
    }
    bomb += "uq";
    bomb += level;
  }
  EXPECT_THAT(refusal(bomb + "1h\x08."), HasSubstr("too many entries"));
}

TEST(Pickle, WorkAndMemoryAreBounded) {
  EXPECT_THAT(refusal(kProto + std::string(std::size_t{1} << 21, ']') + "."), HasSubstr("too many objects"));
  EXPECT_THAT(refusal(kProto + std::string(std::size_t{5} << 20, 'N') + "."), HasSubstr("too many operations"));
  EXPECT_THAT(refusal(kProto + "Nr\xff\xff\xff\xff."), HasSubstr("remembers too many"));
  EXPECT_THAT(refusal(kProto + "B\xff\xff\xff\xff."), HasSubstr("ends too early"));
  EXPECT_THAT(refusal(kProto + "\x8e\xff\xff\xff\xff\xff\xff\xff\xff."), HasSubstr("ends too early"));
  std::string again =
      kProto + text(std::string(1000, 'x')) + "q\x01" + text("latin1") + "q\x02" + "c_codecs\nencode\nq\x03";
  for (int i = 0; i < 100; ++i) again += "h\x03h\x01h\x02\x86R0";
  EXPECT_THAT(refusal(again + "."), HasSubstr("encodes more bytes"));
}

TEST(Pickle, SharedBytesAndLongTextsAreBounded) {
  // One bytes object of 4 kB behind every one of 100 arrays that need a copy (big-endian).
  const std::string data = join("B", u32(4096), std::string(4096, '\1'),
                                "q\x01"
                                "0");
  std::string big_endian = kDType;
  big_endian.replace(big_endian.find('<'), 1, ">");
  std::string items;
  for (int i = 0; i < 100; ++i) {
    const std::string state = small_tuple(join("K\x01", small_tuple("M\x00\x04"s), big_endian, "\x89h\x01"));
    items += join(text(std::to_string(i)), "cnumpy.core.multiarray\n_reconstruct\n)R", state, "b");
  }
  EXPECT_THAT(refusal(join(kProto, data, "}(", items, "u.")), HasSubstr("shares its bytes"));

  std::string long_name =
      join(kProto, "}", text(std::string(600, 'n')), array_of(join("C\x10", std::string(16, 'x'))), "s.");
  EXPECT_THAT(refusal(long_name), HasSubstr("name is too long"));

  std::string metadata = join(kProto, text(std::string(5000, 'm')),
                              "q\x01"
                              "0}(");
  for (int i = 0; i < 100; ++i) metadata += join(text(std::to_string(i)), "h\x01");
  metadata += join(text("model"), "}", text("a"), array_of(join("C\x10", std::string(16, 'x'))), "su.");
  const Checkpoint read = parse_checkpoint(file_bytes("some.pkl", metadata));
  EXPECT_EQ(read.tensors.size(), 1u);
  EXPECT_LE(read.metadata.size(), 2u);
}

TEST(Pickle, StackAndMemoUnderflowsAreRefused) {
  for (const char* body :
       {"0.", "1.",     "t.", "\x85.", "\x87.", "s.",    "u.", "a.", "e.",  "h\x05.",  "j\x05\x05\x05\x05.",
        "2.", "q\x01.", "R.", "b.",    "Q.",    "\x93.", ".",  "(.", "NN.", "(N0000.", "N(\x86."})
    EXPECT_THAT(refusal(kProto + body), HasSubstr("some.pkl: pickle at byte")) << body;
}

}  // namespace
}  // namespace visage::nn
