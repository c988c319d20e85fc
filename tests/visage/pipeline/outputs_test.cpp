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

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// The run.json of an earlier run with these results.
void write_record(const std::string& folder, const nlohmann::json& files) {
  test::write_text(folder + "/run.json", nlohmann::json{{"visage", "0"}, {"files", files}}.dump());
}

TEST(OutputFolder, RefusesWhatIsInUse) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "a/b";
  { const OutputFolder made(path, Existing::refuse); }
  EXPECT_FALSE(fs::exists(path)) << "an empty folder is taken away again";
  fs::create_directories(path);
  test::write_text(path + "/tracks.jsonl.visage-partial", "");
  test::write_text(path + "/overlay.mp4.1.visage-partial", "");
  EXPECT_NO_THROW(OutputFolder(path, Existing::refuse)) << "a killed run left this";
  test::write_text(path + "/results.json", "");
  EXPECT_THAT(message_of<FolderInUseError>([&] { OutputFolder(path, Existing::refuse); }),
              HasSubstr(path + ": is not empty"));
  EXPECT_THAT(message_of<InputError>([&] { OutputFolder(path + "/results.json", Existing::replace); }),
              HasSubstr("results.json: cannot make the output folder"));
}

TEST(OutputFolder, IsForOneRunAtATime) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "out";
  {
    const OutputFolder first(path, Existing::refuse);
    for (const Existing existing : {Existing::refuse, Existing::replace})
      EXPECT_THAT(message_of<InputError>([&] { OutputFolder(path, existing); }),
                  HasSubstr(path + ": another run writes in this folder"));
    EXPECT_NO_THROW(OutputFolder(folder / "other", Existing::refuse));
    EXPECT_TRUE(fs::exists(path)) << "the refused one did not take it away";
  }
  EXPECT_NO_THROW(OutputFolder(path, Existing::refuse));
}

TEST(OutputFolder, RemovesOnlyWhatAnEarlierRunMade) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path().string();
  for (const char* name : {"id_maps", "overlay_frames", "notes"}) fs::create_directory(folder / name);
  for (const char* name : {"results.json", "overlay.gif", "embeddings.safetensors", "overlay.mp4.visage-partial"})
    test::write_text(folder / name, "");
  const std::vector<std::string> before = names_in(path);
  OutputFolder(path, Existing::replace).remove_earlier({});
  EXPECT_EQ(names_in(path).size(), before.size() - 1) << "without a run.json only the leftover goes";
  write_record(path, {"results.json", "overlay_frames", "overlay.gif", "notes", "../" + path, "run.json"});
  const OutputFolder again(path, Existing::replace);
  EXPECT_EQ(again.existing("overlay_frames"), Existing::replace);
  EXPECT_EQ(again.existing("id_maps"), Existing::refuse);
  again.remove_earlier({"results.json", "run.json"});
  EXPECT_THAT(names_in(path),
              testing::ElementsAre("embeddings.safetensors", "id_maps", "notes", "results.json", "run.json"));
}

TEST(OutputFolder, RefusesARecordOfAnotherProgram) {
  const test::TemporaryFolder folder;
  for (const char* text : {"{}", "[1]", "no json", "", "{\"visage\": \"0\", \"files\": 3}"}) {
    test::write_text(folder / "run.json", text);
    EXPECT_THAT(message_of<InputError>([&] { OutputFolder(folder.path().string(), Existing::replace); }),
                HasSubstr("run.json: is not of an earlier run"))
        << text;
  }
}

TEST(OutputFolder, RefusesInputsThatItWouldReplace) {
  const test::TemporaryFolder place;
  const std::string path = place / "out";
  fs::create_directories(path + "/overlay_frames");
  fs::create_directories(path + "/id_maps");
  fs::create_directories(path + "/JPEGImages");
  fs::create_directory_symlink(path + "/overlay_frames", place / "link");
  write_record(path, {"overlay_frames"});
  const OutputFolder folder(path, Existing::replace);
  const auto refusal = [&](const std::string& input) {
    return message_of<InputError>([&] { folder.check_inputs({"/elsewhere/1.png", input}); });
  };
  for (const std::string& input : {path + "/overlay_frames/1.png", place / "link/1.png", path + "/overlay.mp4",
                                   path + "/JPEGImages/../overlay_frames/1.png"})
    EXPECT_THAT(refusal(input), HasSubstr(input + ": is one of the results")) << input;
  for (const std::string& input : {path + "/JPEGImages/1.png", path + "/id_maps/1.png", path + "/clip.mp4",
                                   place / "overlay_frames/1.png", place / "outside/overlay.mp4"})
    EXPECT_EQ(refusal(input), "(nothing was thrown)") << input;
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
    const auto line = nlohmann::json::parse(read_text(folder.file("tracks.jsonl.visage-partial")));
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
    const media::Image ids = media::read_image(folder.file("id_maps.visage-partial/00000.png"));
    EXPECT_EQ(ids.rgb, (std::vector<std::uint8_t>{1, 1, 1, 1, 1, 1, 2, 2, 2, 0, 0, 0, 2, 2, 2, 0, 0, 0}));
    EXPECT_FALSE(fs::exists(folder.file("overlay.gif")));
  }
  // Not finished: the lines stay under their temporary name, everything else is gone.
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("tracks.jsonl.visage-partial"));
}

TEST(OutputWriter, RefusesAFolderOfAnotherAtOnce) {
  const test::TemporaryFolder folder;
  for (const char* name : {"id_maps", "overlay_frames"}) {
    fs::create_directory(folder / name);
    test::write_text(folder / name + "/mine.png", "");
  }
  const OutputFolder place(folder.path().string(), Existing::replace);
  const OutputOptions maps{.clip = {.size = {3, 2}, .fps = 25}, .overlay = {}, .id_maps = IdMaps::png};
  const OutputOptions frames{.clip = {.size = {3, 2}, .fps = 25}, .overlay = media::VideoFormat::frames};
  EXPECT_THAT(message_of<InputError>([&] { OutputWriter(place, maps); }), HasSubstr("id_maps: exists"));
  EXPECT_THAT(message_of<InputError>([&] { OutputWriter(place, frames); }), HasSubstr("overlay_frames: exists"));
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("id_maps", "overlay_frames"));
}

TEST(OutputWriter, TakesAnyRateOfAFile) {
  const test::TemporaryFolder folder;
  const OutputFolder place(folder.path().string(), Existing::refuse);
  for (const double fps : {0.0, 1e-7, 90000.0})
    EXPECT_NO_THROW(OutputWriter(place, {.clip = {.size = {4, 2}, .fps = fps}})) << fps;
}

QueryFrame queries(int first) {
  QueryFrame frame;
  int value = first;
  const auto fill = [&](Tensor& tensor, const Dims& size) {
    tensor = Tensor::empty(size, DType::f32);
    for (std::int64_t i = 0; i < tensor.numel(); ++i) tensor.data<float>()[i] = static_cast<float>(value++);
  };
  fill(frame.queries.logits, {3, 4});
  fill(frame.queries.object, {3, 5});
  fill(frame.queries.appearance, {3, 6});
  fill(frame.mask_logits, {3, 2, 2});
  return frame;
}

TEST(EmbeddingDump, StacksTheFramesInOrder) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "dump.safetensors";
  const QueryFrame frames[] = {queries(0), queries(100), queries(1000)};
  {
    EmbeddingDump dump(path);
    for (const QueryFrame& one : frames) dump.add(one);
    EXPECT_EQ(fs::is_empty(folder.path()), true) << "data lies in unnamed files until close()";
    dump.close("clip \"x\"", {"a", "b", "c"}, {.padded = {32, 64}, .image = {30, 60}, .output = {300, 600}});
  }
  const nn::Checkpoint read = nn::read_checkpoint(path);
  EXPECT_EQ(read.metadata.at("video"), "clip \"x\"");
  EXPECT_EQ(read.metadata.at("frame_names"), "[\"a\",\"b\",\"c\"]");
  EXPECT_EQ(read.metadata.at("image_size"), "30x60");
  const auto expect_rows = [&](const char* name, auto tensor_of) {
    const Tensor* tensor = read.find(name);
    ASSERT_NE(tensor, nullptr);
    const std::int64_t row = tensor_of(frames[0]).numel();
    EXPECT_EQ(tensor->numel(), 3 * row);
    for (int t = 0; t < 3; ++t) {
      const float* want = tensor_of(frames[t]).template data<float>();
      for (std::int64_t i = 0; i < row; ++i) {
        const float got = tensor->dtype() == DType::f16 ? static_cast<float>(tensor->data<Half>()[t * row + i])
                                                        : tensor->data<float>()[t * row + i];
        EXPECT_EQ(got, want[i]) << name << " frame " << t << " element " << i;
      }
    }
  };
  expect_rows("logits", [](const QueryFrame& one) { return one.queries.logits; });
  expect_rows("object", [](const QueryFrame& one) { return one.queries.object; });
  expect_rows("appearance", [](const QueryFrame& one) { return one.queries.appearance; });
  expect_rows("mask_logits", [](const QueryFrame& one) { return one.mask_logits; });
}

TEST(EmbeddingDump, LeavesNothingWithoutClose) {
  const test::TemporaryFolder folder;
  {
    EmbeddingDump dump(folder / "dump.safetensors");
    dump.add(queries(0));
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_THROW(EmbeddingDump("/nowhere/dump.safetensors"), InputError);
}

}  // namespace
}  // namespace visage::pipeline
