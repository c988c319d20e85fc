#include "visage/pipeline/outputs.h"

#include "nn/checkpoint/checkpoint.h"
#include "tensor/float16.h"
#include "tests/support/files.h"
#include "visage/annotation/rle.h"
#include "visage/media/image_file.h"
#include "visage/pipeline/embedding_dump.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

namespace visage::pipeline {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::read_text;
using testing::HasSubstr;

std::vector<std::uint64_t> columns(const std::vector<std::uint8_t>& rows) {
  return annotation::pack_columns(rows.data(), 2, 3);
}

// 3 pixels wide, 2 high; track 255 is better and covers a pixel of track 511.
TrackedFrame frame() {
  TrackedFrame tracked{.frame = {media::Image(3, 2), "a\xff.png", 0}, .result = {.index = 0, .size = {2, 3}}};
  tracked.result.objects = {{.track = 255, .label = 1, .score = 0.75, .mask = columns({1, 1, 0, 0, 0, 0})},
                            {.track = 511, .label = 7, .score = 0.5, .mask = columns({0, 1, 1, 0, 1, 0})}};
  return tracked;
}

TEST(OutputFolder, RefusesWhatIsInUse) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "a/b";
  { const OutputFolder made(path, Existing::refuse); }
  EXPECT_FALSE(fs::exists(path)) << "an empty folder is taken away again";
  fs::create_directories(path);
  test::write_text(path + "/tracks.jsonl.partial", "");
  test::write_text(path + "/overlay.mp4.tmp.123", "");
  EXPECT_NO_THROW(OutputFolder(path, Existing::refuse));
  test::write_text(path + "/results.json", "");
  test::write_text(path + "/notes.txt", "");
  EXPECT_THAT(message_of<InputError>([&] { OutputFolder(path, Existing::refuse); }),
              HasSubstr(path + ": is not empty"));
  OutputFolder(path, Existing::replace).clear();
  EXPECT_EQ(std::distance(fs::directory_iterator(path), {}), 1);
  EXPECT_TRUE(fs::exists(path + "/notes.txt"));
  EXPECT_THAT(message_of<InputError>([&] { OutputFolder(path + "/notes.txt", Existing::replace); }),
              HasSubstr("notes.txt: cannot make the output folder"));
}

TEST(OutputWriter, WritesALineAFrameAsItHappens) {
  const test::TemporaryFolder place;
  const OutputFolder folder(place / "out", Existing::refuse);
  {
    OutputOptions options;
    options.clip = {.name = "clip", .size = {3, 2}, .fps = 25, .frames = 1};
    options.class_names = {"cat", "dog"};
    options.overlay = media::VideoFormat::gif;
    options.id_maps = IdMaps::png;
    OutputWriter writer(folder, options);
    writer.add(frame());
    const auto line = nlohmann::json::parse(read_text(folder.file("tracks.jsonl.partial")));
    EXPECT_EQ(line.at("frame"), 0);
    EXPECT_THAT(line.at("name").get<std::string>(), HasSubstr(".png"));
    EXPECT_EQ(line.at("size"), nlohmann::json({2, 3}));
    const auto& objects = line.at("objects");
    ASSERT_EQ(objects.size(), 2u);
    EXPECT_EQ(objects[0].at("track"), 255);
    EXPECT_EQ(objects[0].at("category_id"), 2);
    EXPECT_EQ(objects[0].at("label"), "dog");
    EXPECT_EQ(objects[0].at("score"), 0.75);
    EXPECT_EQ(objects[0].at("box"), nlohmann::json({0.0, 0.0, 2.0, 1.0}));
    EXPECT_EQ(objects[0].at("area"), 2);
    EXPECT_EQ(objects[1].at("label"), "class 8");
    const auto counts = objects[1].at("segmentation").at("counts").get<std::string>();
    EXPECT_EQ(annotation::decode_rows(annotation::rle_from_string(2, 3, counts)),
              (std::vector<std::uint8_t>{0, 1, 1, 0, 1, 0}));
    // The reader keeps the upper 8 of 16 bits: 1 for id 256, 2 for id 512.
    const media::Image ids = media::read_image(folder.file("id_maps.partial/00000.png"));
    EXPECT_EQ(ids.rgb, (std::vector<std::uint8_t>{1, 1, 1, 1, 1, 1, 2, 2, 2, 0, 0, 0, 2, 2, 2, 0, 0, 0}));
    EXPECT_FALSE(fs::exists(folder.file("overlay.gif")));
  }
  // Not finished: the lines stay under their temporary name, everything else is gone.
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder.path())) left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::ElementsAre("tracks.jsonl.partial"));
}

Detection detection(int first) {
  Detection result;
  int value = first;
  const auto fill = [&](Tensor& tensor, const Dims& size) {
    tensor = Tensor::empty(size, DType::f32);
    for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.data<float>()[i] = static_cast<float>(value++);
  };
  fill(result.class_logits, {2, 3, 4});
  fill(result.object, {2, 3, 5});
  fill(result.appearance, {2, 3, 6});
  fill(result.mask_logits, {2, 3, 2, 2});
  return result;
}

TEST(EmbeddingDump, StacksTheFramesInOrder) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "dump.safetensors";
  const Detection first = detection(0), second = detection(1000);
  {
    EmbeddingDump dump(path);
    dump.add(first, 0);
    dump.add(first, 1);
    dump.add(second, 1);
    EXPECT_EQ(fs::is_empty(folder.path()), true) << "data lies in unnamed files until close()";
    dump.close("clip \"x\"", {"a", "b", "c"}, {.padded = {32, 64}, .image = {30, 60}, .output = {300, 600}});
  }
  const nn::Checkpoint read = nn::read_checkpoint(path);
  EXPECT_EQ(read.metadata.at("video"), "clip \"x\"");
  EXPECT_EQ(read.metadata.at("frame_names"), "[\"a\",\"b\",\"c\"]");
  EXPECT_EQ(read.metadata.at("image_size"), "30x60");
  const auto expect_rows = [&](const char* name, const Tensor Detection::*field, std::int64_t row) {
    const Tensor* tensor = read.find(name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->numel(), 3 * row);
    const Tensor* sources[] = {&(first.*field), &(first.*field), &(second.*field)};
    for (int t = 0; t < 3; ++t) {
      const float* want = sources[t]->data<float>() + (t == 0 ? 0 : row);
      for (std::int64_t i = 0; i < row; ++i) {
        const float got = tensor->dtype() == DType::f16 ? static_cast<float>(tensor->data<Half>()[t * row + i])
                                                        : tensor->data<float>()[t * row + i];
        EXPECT_EQ(got, want[i]) << name << " frame " << t << " element " << i;
      }
    }
  };
  expect_rows("logits", &Detection::class_logits, 12);
  expect_rows("object", &Detection::object, 15);
  expect_rows("appearance", &Detection::appearance, 18);
  expect_rows("mask_logits", &Detection::mask_logits, 12);
}

TEST(EmbeddingDump, LeavesNothingWithoutClose) {
  const test::TemporaryFolder folder;
  {
    EmbeddingDump dump(folder / "dump.safetensors");
    dump.add(detection(0), 0);
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_THROW(EmbeddingDump("/nowhere/dump.safetensors"), InputError);
}

}  // namespace
}  // namespace visage::pipeline
