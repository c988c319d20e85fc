#include "tensor/error.h"
#include "visage/annotation/coco.h"
#include "visage/annotation/results.h"
#include "visage/annotation/ytvis.h"
#include "visage/annotation/ytvis_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <unistd.h>

namespace visage::annotation {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Annotations stand before what they refer to, as a file may have them.
constexpr const char* kDataset = R"({
  "info": {"deep": [[[{"a": [1, {"b": 2}]}]]]},
  "annotations": [
    {"id": 7, "video_id": 2, "category_id": 5, "iscrowd": false, "length": 1, "areas": [3, null, 0.5],
     "bboxes": [[1, 0, 1, 3], null, []],
     "segmentations": [{"size": [3, 4], "counts": [3, 3, 6]}, null, [[0, 0, 2, 0, 2, 2, 0, 2]]]},
    {"id": 8, "video_id": 1, "category_id": 6, "iscrowd": 1, "areas": [2],
     "segmentations": [{"size": [2, 2], "counts": "112"}]}],
  "categories": [{"id": 5, "name": "cat", "supercategory": "animal"}, {"id": 6, "name": "dog"}],
  "videos": [{"id": 1, "height": 2, "width": 2, "length": 1, "file_names": ["a/0.jpg"]},
             {"id": 2, "height": 3, "width": 4, "length": 3, "file_names": ["b/0.jpg", "b/..1.jpg", "b/2.jpg"]}]})";

template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_after(const std::string& from, const std::string& to) {
  return error_of([&] { (void)parse_ytvis(replaced(kDataset, from, to), "set.json"); });
}

std::string file_content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class AnnotationFilesTest : public ::testing::Test {
 protected:
  AnnotationFilesTest() { fs::create_directories(folder_); }
  ~AnnotationFilesTest() override { fs::remove_all(folder_); }
  fs::path folder_ = fs::path(::testing::TempDir()) / ("visage_annotation_" + std::to_string(::getpid()) + "_" +
                                                       ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(AnnotationFilesTest, EveryValueOfADataSetIsRead) {
  const VideoDataset data = parse_ytvis(kDataset, "set.json");
  EXPECT_EQ(data.ground_truth, GroundTruth::present);
  EXPECT_TRUE(data.warnings.empty());
  ASSERT_EQ(data.videos.size(), 2u);
  EXPECT_EQ(data.videos[data.video_index.at(2)].width, 4);
  EXPECT_THAT(data.videos[1].file_names, ElementsAre("b/0.jpg", "b/..1.jpg", "b/2.jpg"));
  EXPECT_EQ(data.categories[data.category_index.at(5)].supercategory, "animal");

  const TrackAnnotation& cat = data.annotations[0];
  EXPECT_EQ(cat.id, 7);
  EXPECT_FALSE(cat.is_crowd);
  EXPECT_THAT(cat.masks[0]->counts, ElementsAre(3, 3, 6));
  EXPECT_FALSE(cat.masks[1]);
  EXPECT_EQ(area(*cat.masks[2]), 4);  // the square [0, 2] x [0, 2]
  EXPECT_THAT(cat.areas, ElementsAre(3, std::nullopt, 0.5));
  EXPECT_THAT(cat.boxes, ElementsAre(Box{1, 0, 1, 3}, std::nullopt, std::nullopt));

  const TrackAnnotation& dog = data.annotations[1];
  EXPECT_TRUE(dog.is_crowd);
  EXPECT_THAT(dog.masks[0]->counts, ElementsAre(1, 1, 2));
  EXPECT_EQ(dog.boxes[0], (Box{0, 1, 1, 1}));  // the file has none: from the mask
}

TEST_F(AnnotationFilesTest, ErrorsNameFileRecordIdAndRule) {
  EXPECT_EQ(error_after("\"counts\": \"112\"", "\"counts\": \"115\""),
            "set.json: annotations[1] (id 8): segmentations[0]: rle: counts sum to more than height * width = 4 "
            "(exceeded at counts[2])");
  EXPECT_EQ(error_after("[3, null, 0.5]", "[3, null]"),
            "set.json: annotations[0] (id 7): \"areas\" has 2 entries, video 2 has 3 frames");
  EXPECT_EQ(error_after("\"video_id\": 1", "\"video_id\": 3"), "set.json: annotations[1] (id 8): no video has id 3");
  EXPECT_EQ(error_after("\"size\": [3, 4]", "\"size\": [4, 3]"),
            "set.json: annotations[0] (id 7): segmentations[0]: mask size is [4, 3], the frame's [height, width] is "
            "[3, 4]");
  EXPECT_EQ(error_after("\"b/..1.jpg\"", "\"b/../1.jpg\""),
            "set.json: videos[1] (id 2): file_names[1] leads out of the image folder: \"b/../1.jpg\"; file names are "
            "relative to it");
  EXPECT_EQ(error_after("\"iscrowd\": 1", "\"iscrowd\": 2"),
            "set.json: annotations[1] (id 8): \"iscrowd\" must be 0 or 1; got 2");
  EXPECT_EQ(error_after("{\"id\": 6,", "{\"id\": 5,"),
            "set.json: categories[1] (id 5): another category has the same id");
  EXPECT_EQ(error_after("\"id\": 8,", "\"id\": 18446744073709551615,"),
            "set.json: annotations[1]: \"id\" must be an integer; got 18446744073709551615");
  EXPECT_EQ(error_after("\"info\"", "\"videos\": [], \"info\""), "set.json: \"videos\" appears twice");
  EXPECT_THAT(error_after("\"id\": 8,", "\"id\" 8,"), HasSubstr("set.json: not valid JSON: parse error at line 7"));
}

TEST_F(AnnotationFilesTest, UnusablePolygonsAreDroppedWithAWarning) {
  const VideoDataset data =
      parse_ytvis(replaced(kDataset, "[[0, 0, 2, 0, 2, 2, 0, 2]]", "[[0, 0, 2, 0, 2], [1, 1]]"), "set.json");
  EXPECT_FALSE(data.annotations[0].masks[2]);
  ASSERT_EQ(data.warnings.size(), 2u);
  EXPECT_THAT(data.warnings[0], HasSubstr("set.json: annotations[0] (id 7): segmentations[2]: polygon 0 dropped"));
}

TEST_F(AnnotationFilesTest, MissingFilesAndFoldersAreRefused) {
  EXPECT_THAT(error_of([&] { (void)read_ytvis((folder_ / "none.json").string()); }),
              HasSubstr("none.json: cannot be opened"));
  EXPECT_THAT(error_of([&] { (void)read_coco(folder_.string()); }), HasSubstr("is a folder"));
}

TEST_F(AnnotationFilesTest, CocoInstancesKeepTheirPolygons) {
  const ImageDataset data = parse_coco(R"({"images": [{"id": 1, "height": 4, "width": 4, "file_name": "1.jpg"}],
    "categories": [{"id": 3, "name": "cat"}], "annotations": [
      {"id": 900100000001, "image_id": 1, "category_id": 3, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2], [1, 1]],
       "bbox": [0, 0, 2, 2], "area": 4.5},
      {"id": 2, "image_id": 1, "category_id": 3, "segmentation": [], "iscrowd": 0}]})",
                                       "coco.json");
  ASSERT_EQ(data.instances.size(), 1u);
  EXPECT_EQ(data.instances[0].id, 900100000001);
  EXPECT_THAT(data.instances[0].polygons, ElementsAre(Polygon{0, 0, 2, 0, 2, 2, 0, 2}));
  EXPECT_EQ(data.instances[0].area, 4.5);
  EXPECT_EQ(area(mask_of(data.instances[0], data.images[0])), 4);
  EXPECT_THAT(data.warnings, ElementsAre(HasSubstr("polygon 1 dropped"), HasSubstr("(id 2) dropped: it has no mask")));
}

TEST_F(AnnotationFilesTest, ResultsSurviveTheRoundTrip) {
  const VideoDataset data = parse_ytvis(kDataset, "set.json");
  const std::vector<Prediction> predictions{
      {.video_id = 2, .score = 0.1, .category_id = 5, .masks = {rle_from_string(3, 4, "336"), {}, empty_rle(3, 4)}},
      {.video_id = 1, .score = 1e-7, .category_id = 6, .masks = {rle_from_string(2, 2, "112")}}};
  const fs::path path = folder_ / "results.json";
  ResultsWriter writer(path.string());
  for (const Prediction& prediction : predictions) writer.add(prediction);
  EXPECT_FALSE(fs::exists(path));
  writer.close();
  EXPECT_EQ(file_content(path),
            "[\n{\"video_id\":2,\"score\":0.1,\"category_id\":5,\"segmentations\":[{\"size\":[3,4],\"counts\":\"336\"},"
            "null,{\"size\":[3,4],\"counts\":\"<\"}]},\n{\"video_id\":1,\"score\":1e-07,\"category_id\":6,"
            "\"segmentations\":[{\"size\":[2,2],\"counts\":\"112\"}]}\n]\n");
  const std::vector<Prediction> read = read_results(path.string(), data);
  ASSERT_EQ(read.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read[i].video_id, predictions[i].video_id);
    EXPECT_EQ(read[i].score, predictions[i].score);
    EXPECT_EQ(read[i].category_id, predictions[i].category_id);
    EXPECT_EQ(read[i].masks, predictions[i].masks);
  }
}

TEST_F(AnnotationFilesTest, BackslashesInCountsAreEscaped) {
  // A first run of 28 + 32 k has the lowest group 60 = '\'.
  const Rle rle = rle_from_counts(10, 10, std::vector<int64_t>{44, 56});
  ASSERT_EQ(to_string(rle), "\\1h1");
  const fs::path path = folder_ / "results.json";
  ResultsWriter writer(path.string());
  writer.add({.video_id = 1, .score = 0.5, .category_id = 1, .masks = {rle}});
  writer.close();
  EXPECT_THAT(file_content(path), HasSubstr(R"("counts":"\\1h1")"));
}

TEST_F(AnnotationFilesTest, AnUnfinishedWriterLeavesNothingBehind) {
  {
    ResultsWriter writer((folder_ / "results.json").string());
    writer.begin(1, 0.5, 1);
    writer.add_mask(empty_rle(2, 2));
    EXPECT_THAT(error_of([&] { writer.begin(1, std::numeric_limits<double>::quiet_NaN(), 1); }),
                HasSubstr("not finite"));
  }
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_THAT(error_of([&] { ResultsWriter((folder_ / "none" / "results.json").string()); }),
              HasSubstr("cannot be written"));
}

TEST_F(AnnotationFilesTest, AWrittenDataSetReadsBackTheSame) {
  const VideoDataset data = parse_ytvis(kDataset, "set.json");
  const fs::path path = folder_ / "set.json";
  YtvisWriter writer(path.string(), "a \"test\"", data.categories);
  for (const Video& video : data.videos) writer.add_video(video);
  for (const TrackAnnotation& annotation : data.annotations) writer.add_annotation(annotation);
  writer.close();
  const VideoDataset read = read_ytvis(path.string());
  ASSERT_EQ(read.videos.size(), data.videos.size());
  EXPECT_EQ(read.videos[1].file_names, data.videos[1].file_names);
  EXPECT_EQ(read.categories[1].name, "dog");
  ASSERT_EQ(read.annotations.size(), data.annotations.size());
  for (size_t i = 0; i < data.annotations.size(); ++i) {
    EXPECT_EQ(read.annotations[i].id, data.annotations[i].id);
    EXPECT_EQ(read.annotations[i].is_crowd, data.annotations[i].is_crowd);
    EXPECT_EQ(read.annotations[i].masks, data.annotations[i].masks);
    EXPECT_EQ(read.annotations[i].boxes, data.annotations[i].boxes);
    EXPECT_EQ(read.annotations[i].areas, data.annotations[i].areas);
  }
}

}  // namespace
}  // namespace visage::annotation
