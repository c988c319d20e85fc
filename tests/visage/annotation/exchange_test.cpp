#include "visage/annotation/exchange.h"

#include "tensor/error.h"
#include "tests/support/files.h"
#include "visage/annotation/polygon.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <random>

namespace visage::annotation {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kHeight = 24, kWidth = 32, kFrames = 4;

// Two discs with a bite and a hole, and a mask of scattered pixels that is away in one frame.
Rle disc(int64_t cx, int64_t cy) {
  std::vector<uint8_t> pixels(kHeight * kWidth);
  for (int64_t y = 0; y < kHeight; ++y)
    for (int64_t x = 0; x < kWidth; ++x) {
      const int64_t square = (x - cx) * (x - cx) + (y - cy) * (y - cy);
      pixels[y * kWidth + x] = square < 50 && square > 2 && x != cx + 4;
    }
  return encode_rows(pixels.data(), kHeight, kWidth);
}

Rle scattered(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> pixels(kHeight * kWidth);
  for (uint8_t& pixel : pixels) pixel = random() % 3 == 0;
  return encode_rows(pixels.data(), kHeight, kWidth);
}

VideoTracks example() {
  VideoTracks tracks{.video = {.id = 1, .height = kHeight, .width = kWidth, .file_names = {}},
                     .categories = {{.id = 1, .name = "cat & \"dog\"", .supercategory = {}},
                                    {.id = 2, .name = "person", .supercategory = {}}},
                     .tracks = {}};
  for (int64_t frame = 0; frame < kFrames; ++frame)
    tracks.video.file_names.push_back("frame_00000" + std::to_string(frame));
  for (int64_t id = 1; id <= 3; ++id) {
    ObjectTrack track{.id = id, .category_id = id == 2 ? 1 : 2, .frames = {}};
    for (int64_t frame = 0; frame < kFrames; ++frame) {
      std::optional<Sighting>& sighting = track.frames.emplace_back();
      if (id == 3 && frame == 1) continue;
      const Rle mask = id == 3 ? scattered(static_cast<unsigned>(frame)) : disc(8 + 3 * id + frame, 10 + frame);
      sighting = Sighting{.box = bounding_box(mask), .mask = mask, .score = 0.1 * static_cast<double>(id + frame)};
    }
    tracks.tracks.push_back(std::move(track));
  }
  return tracks;
}

enum class Carries { boxes, masks };

// Ids, class names, frames, boxes and, where the format has them, masks.
void expect_same(const VideoTracks& read, const VideoTracks& written, Carries carries) {
  EXPECT_EQ(read.video.file_names, written.video.file_names);
  EXPECT_EQ(read.video.height, written.video.height);
  EXPECT_EQ(read.video.width, written.video.width);
  ASSERT_EQ(read.tracks.size(), written.tracks.size());
  const auto name = [](const VideoTracks& tracks, int64_t id) {
    for (const Category& category : tracks.categories)
      if (category.id == id) return category.name;
    return std::string("none");
  };
  for (const ObjectTrack& track : written.tracks) {
    SCOPED_TRACE(track.id);
    const auto other = std::find_if(read.tracks.begin(), read.tracks.end(),
                                    [&](const ObjectTrack& candidate) { return candidate.id == track.id; });
    ASSERT_NE(other, read.tracks.end());
    EXPECT_EQ(name(read, other->category_id), name(written, track.category_id));
    for (size_t frame = 0; frame < kFrames; ++frame) {
      SCOPED_TRACE(frame);
      ASSERT_EQ(other->frames[frame].has_value(), track.frames[frame].has_value());
      if (!track.frames[frame]) continue;
      EXPECT_EQ(other->frames[frame]->box, track.frames[frame]->box);
      EXPECT_EQ(other->frames[frame]->mask, carries == Carries::masks ? track.frames[frame]->mask : std::nullopt);
    }
  }
}

// The least IoU of masks written with and without a tolerance.
double least_iou(const VideoTracks& read, const VideoTracks& written) {
  double least = 1;
  for (size_t t = 0; t < written.tracks.size(); ++t)
    for (size_t frame = 0; frame < kFrames; ++frame)
      if (const auto& seen = written.tracks[t].frames[frame])
        least = std::min(least, iou(*read.tracks.at(t).frames[frame]->mask, *seen->mask));
  return least;
}

class Exchange : public ::testing::Test {
 protected:
  test::TemporaryFolder folder_;
  std::string path_ = folder_ / "there";
};

TEST_F(Exchange, CocoCarriesMasksExactly) {
  write_coco(path_, example());
  expect_same(read_coco_tracks(path_), example(), Carries::masks);
}

TEST_F(Exchange, LabelMeCarriesMasksExactlyWithoutTolerance) {
  write_labelme(path_, example(), 0);
  expect_same(read_labelme(path_, {}), example(), Carries::masks);
  std::filesystem::remove(path_ + "/frame_000003.json");
  EXPECT_EQ(read_labelme(path_, {}).video.length(), 3);
  EXPECT_EQ(read_labelme(path_, example().video).video.length(), 4);
}

TEST_F(Exchange, CvatCarriesMasksExactlyWithoutTolerance) {
  write_cvat(path_, example(), 0);
  expect_same(read_cvat(path_, {}), example(), Carries::masks);
  VideoTracks renamed = example();
  renamed.video.file_names = {"a.png", "b.png", "c.png", "d.png"};
  expect_same(read_cvat(path_, renamed.video), renamed, Carries::masks);
}

TEST_F(Exchange, MotCarriesBoxesAndScores) {
  write_mot(path_, example());
  EXPECT_THAT(test::read_text(path_ + "/gt/gt.txt"),
              testing::StartsWith("1,1,4,3,15,15,0.1,2,1\n1,2,7,3,15,15,0.2,1,1\n"));
  const VideoTracks read = read_mot(path_, {});
  expect_same(read, example(), Carries::boxes);
  EXPECT_EQ(read.tracks[1].frames[2]->score, example().tracks[1].frames[2]->score);
}

TEST_F(Exchange, TolerancesKeepTheShape) {
  VideoTracks discs = example();
  discs.tracks.pop_back();
  write_cvat(path_, discs, 1);
  const double cvat = least_iou(read_cvat(path_, {}), discs);
  write_labelme(folder_ / "pages", discs, 1);
  const double labelme = least_iou(read_labelme(folder_ / "pages", {}), discs);
  EXPECT_GT(cvat, 0.8);
  EXPECT_LT(cvat, 1);
  EXPECT_GT(labelme, 0.8);
}

TEST_F(Exchange, AYoutubeVisFileCarriesAllButScores) {
  write_ytvis(path_, example());
  expect_same(tracks_of(read_ytvis(path_), 1), example(), Carries::masks);
  EXPECT_THAT(message_of<InputError>([&] { (void)tracks_of(read_ytvis(path_), 2); }), HasSubstr("no video with id 2"));
}

TEST_F(Exchange, WhatIsThereIsNotReplaced) {
  test::write_text(path_, "mine");
  const VideoTracks tracks = example();
  EXPECT_THROW(write_coco(path_, tracks), InputError);
  EXPECT_THROW(write_cvat(path_, tracks, 0), InputError);
  EXPECT_THROW(write_mot(path_, tracks), InputError);
  EXPECT_THROW(write_labelme(path_, tracks, 0), InputError);
  EXPECT_EQ(test::read_text(path_), "mine");
}

TEST_F(Exchange, CvatShapesOfAPersonAreRead) {
  test::write_text(path_, R"(<?xml version="1.0"?>
<!-- by hand --><annotations><version>1.1</version><meta><job><size>3</size><labels><label><name>dog</name></label>
<label><name>c&#228;t</name></label></labels></job></meta>
<track id="4" label="c&#xe4;t"><mask frame="0" outside="0" rle="1, 2, 3" left="2" top="1" width="3" height="2"/>
  <box frame="1" outside="0" xtl="1.00" ytl="2.00" xbr="3" ybr="4"></box>
  <polygon frame="2" outside="1" points="1,1;2,1;2,2"/></track></annotations>)");
  const Video frames{.id = 1, .height = 6, .width = 8, .file_names = {"0.png", "1.png", "2.png"}};
  const VideoTracks read = read_cvat(path_, frames);
  ASSERT_EQ(read.categories.size(), 2u);
  EXPECT_EQ(read.categories[1].name, "cät");
  ASSERT_EQ(read.tracks.size(), 1u);
  EXPECT_EQ(read.tracks[0].id, 5);
  EXPECT_EQ(read.tracks[0].category_id, 2);
  EXPECT_EQ(read.tracks[0].frames[0]->box, (Box{3, 1, 2, 1}));
  EXPECT_EQ(area(*read.tracks[0].frames[0]->mask), 2);
  EXPECT_EQ(*read.tracks[0].frames[1]->mask, rle_from_box(6, 8, {1, 2, 2, 2}));
  EXPECT_FALSE(read.tracks[0].frames[2]);
}

TEST_F(Exchange, CocoAttributesMayHoldTheTrack) {
  test::write_text(path_, R"({"images": [{"id": 5, "height": 4, "width": 4, "file_name": "a.png"}],
    "categories": [{"id": 1, "name": "cat"}], "annotations": [{"id": 1, "image_id": 5, "category_id": 1,
    "attributes": {"track_id": 9}, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}]})");
  const VideoTracks read = read_coco_tracks(path_);
  EXPECT_EQ(read.tracks.at(0).id, 9);
  EXPECT_EQ(area(*read.tracks[0].frames.at(0)->mask), 4);
}

TEST_F(Exchange, MotResultsNeedNoClass) {
  test::write_text(path_, "2, 7, 1.5, 2, 3, 4, 0.5, -1, -1, -1\n");
  EXPECT_THAT(message_of<InputError>([&] { (void)read_mot(path_, {}); }), HasSubstr("name the frames"));
  const VideoTracks read = read_mot(path_, example().video);
  EXPECT_EQ(read.tracks.at(0).frames[1]->box, (Box{1.5, 2, 3, 4}));
  EXPECT_FALSE(read.tracks[0].frames[0]);
  EXPECT_EQ(read.categories.at(0).name, "class 1");
}

class BadExchange : public Exchange {
 protected:
  std::string mot(const std::string& text) {
    test::write_text(path_, text);
    return message_of<InputError>([&] { (void)read_mot(path_, example().video); });
  }
  std::string cvat(const std::string& text) {
    test::write_text(path_, text);
    return message_of<InputError>([&] { (void)read_cvat(path_, example().video); });
  }
  std::string track(const std::string& shapes) {
    return cvat("<annotations>\n<track id=\"0\" label=\"a\">" + shapes + "</track></annotations>");
  }
  std::string labelme(const std::string& shapes) {
    std::filesystem::create_directories(path_);
    test::write_text(
        path_ + "/a.json",
        R"({"imagePath": "frame_000000", "imageHeight": 24, "imageWidth": 32, "shapes": [)" + shapes + "]}");
    return message_of<InputError>([&] { (void)read_labelme(path_, {}); });
  }
  static std::string lines(const std::string& text) {
    return message_of<InputError>([&] { (void)parse_tracks(text, "t"); });
  }
};

TEST_F(BadExchange, LinesOfMotAreNamed) {
  EXPECT_THAT(mot("1,1,1,1,2,2\n1,2,3\n"), HasSubstr("there: line 2: must be frame, id"));
  EXPECT_THAT(mot("5,1,1,1,2,2\n"), HasSubstr("line 1: frame 5: no such frame; the video has 4"));
  EXPECT_THAT(mot("0,1,1,1,2,2\n"), HasSubstr("no such frame"));
  EXPECT_THAT(mot("1,1,1,1,-2,2\n"), HasSubstr("negative size"));
  EXPECT_THAT(mot("1,1,1,x,2,2\n"), HasSubstr("\"x\" is not a number"));
  EXPECT_THAT(mot("1,1.5,1,1,2,2\n"), HasSubstr("\"1.5\" is not a whole number"));
  EXPECT_THAT(mot("1,1,1,1,2,2\n1,1,1,1,2,2\n"), HasSubstr("line 2: track 1 is in this frame already"));
  EXPECT_THAT(mot("1,1,1,1,2,2,1,1\n2,1,1,1,2,2,1,2\n"), HasSubstr("line 2: track 1 has another class"));
}

TEST_F(BadExchange, XmlOfCvatIsNamed) {
  EXPECT_THAT(cvat("<annotations>\n<track></annotations>"),
              HasSubstr("line 2: not valid XML: an end tag is of another"));
  EXPECT_THAT(cvat("<!DOCTYPE a><annotations/>"), HasSubstr("document types are not read"));
  EXPECT_THAT(cvat("<annotations>&x;</annotations>"), HasSubstr("an entity is unknown"));
  EXPECT_THAT(cvat("<annotations"), HasSubstr("not valid XML"));
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "<a>";
  EXPECT_THAT(cvat(deep), HasSubstr("deeper than 32"));
  EXPECT_THAT(cvat("<a/>"), HasSubstr("the root must be <annotations>"));
  EXPECT_THAT(cvat("<annotations><image/></annotations>"), HasSubstr("export it as CVAT for video 1.1"));
  EXPECT_THAT(track("<polygon frame='4' points='1,1;2,2;3,1'/>"), HasSubstr("track 0: <polygon> of frame 4: no such"));
  EXPECT_THAT(track("<polygon frame='0' points='1,1;2,2'/>"), HasSubstr("needs 3 points"));
  EXPECT_THAT(track("<polygon frame='0'/>"), HasSubstr("\"points\" is missing"));
  EXPECT_THAT(track("<cuboid frame='0'/>"), HasSubstr("only polygons, masks and boxes"));
  EXPECT_THAT(track("<mask frame='0' rle='1,5' left='0' top='0' width='2' height='2'/>"), HasSubstr("does not fit"));
  EXPECT_THAT(track("<mask frame='0' rle='1' left='31' top='0' width='2' height='2'/>"), HasSubstr("not within"));
}

TEST_F(BadExchange, ImpossibleVideosAreRefused) {
  test::write_text(path_,
                   "<annotations><meta><task><size>0</size><original_size><width>4</width><height>3</height>"
                   "</original_size></task></meta></annotations>");
  EXPECT_THAT(message_of<InputError>([&] { (void)read_cvat(path_, {}); }),
              HasSubstr("there: <meta>: no video has 0 frames of 4x3"));
  std::filesystem::remove(path_);
  std::filesystem::create_directories(path_ + "/gt");
  test::write_text(path_ + "/gt/gt.txt", "1,1,1,1,2,2\n");
  test::write_text(path_ + "/seqinfo.ini", "seqLength=2\nimWidth=4\n");
  EXPECT_THAT(message_of<InputError>([&] { (void)read_mot(path_, {}); }),
              HasSubstr("seqinfo.ini: seqLength, imWidth and imHeight: no video has 2 frames of 4x0"));
}

TEST_F(BadExchange, ShapesOfLabelMeAreNamed) {
  const std::string ring = R"("points": [[1, 1], [5, 1], [5, 5]])";
  EXPECT_THAT(labelme(R"({"label": "a", )" + ring + "}"), HasSubstr("a.json: shapes[0]: has no \"group_id\""));
  EXPECT_THAT(labelme(R"({"label": "a", "group_id": 1, "shape_type": "circle", )" + ring + "}"),
              HasSubstr("is a circle; only polygons"));
  EXPECT_THAT(labelme(R"({"label": "a", "group_id": 1, )" + ring + R"(}, {"label": "b", "group_id": 1, )" + ring + "}"),
              HasSubstr("shapes[1]: another shape of its group has another label"));
  EXPECT_THAT(labelme(R"({"label": "a", "group_id": 1, "points": [[1, 1]]})"), HasSubstr("needs 3 points"));
  EXPECT_THAT(labelme("1"), HasSubstr("shapes[0] must be an object"));
}

TEST_F(BadExchange, LinesOfTracksAreNamed) {
  const std::string good = R"({"frame": 0, "name": "a", "size": [2, 2], "objects": []})";
  EXPECT_THAT(lines(""), HasSubstr("t: has no frame"));
  EXPECT_THAT(lines(good + "\n{\"frame\": 1, "), HasSubstr("t: line 2: not one JSON object"));
  EXPECT_THAT(lines(good + "\n" + good), HasSubstr("line 2: \"frame\" must be 1; got 0"));
  EXPECT_THAT(lines(R"({"frame": 0, "name": "a", "size": [2, 2], "objects": [{"track": 0, "category_id": 1,
    "label": "x", "score": 1, "segmentation": {"size": [3, 2], "counts": [6]}}]})"),
              HasSubstr("line 1"));
}

TEST(VideoTracks, AreSelectedByClassAndScore) {
  VideoTracks tracks = example();
  const int64_t person[] = {2};
  select(tracks, person, 0.35);
  ASSERT_EQ(tracks.tracks.size(), 2u);
  EXPECT_EQ(tracks.tracks[0].id, 1);
  EXPECT_FALSE(tracks.tracks[0].frames[2]);
  EXPECT_TRUE(tracks.tracks[0].frames[3]);
  ASSERT_EQ(tracks.categories.size(), 1u) << "a class that is not chosen would be learnt from no object";
  EXPECT_EQ(tracks.categories[0].id, 2);
  select(tracks, {}, 0.9);
  EXPECT_TRUE(tracks.tracks.empty());
}

TEST(VideoTracks, TakeTheLatestClassOfATrack) {
  const auto line = [](int frame, int category, const char* label) {
    return R"({"frame": )" + std::to_string(frame) + R"(, "name": "f)" + std::to_string(frame) +
           R"(", "size": [2, 2], "objects": [{"track": 0, "score": 0.5, "label": ")" + label + R"(", "category_id": )" +
           std::to_string(category) + R"(, "segmentation": {"size": [2, 2], "counts": [1, 3]}}]})" + "\n";
  };
  const VideoTracks tracks = parse_tracks(line(0, 7, "dog") + line(1, 3, "cat"), "t");
  EXPECT_THAT(tracks.video.file_names, ElementsAre("f0", "f1"));
  ASSERT_EQ(tracks.tracks.size(), 1u);
  EXPECT_EQ(tracks.tracks[0].id, 1);
  EXPECT_EQ(tracks.tracks[0].category_id, 3);
  EXPECT_EQ(tracks.categories[0].name, "cat");
}

}  // namespace
}  // namespace visage::annotation
