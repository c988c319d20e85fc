#pragma once
#include "visage/annotation/category.h"
#include "visage/annotation/rle.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace visage::annotation {

struct Video {
  int64_t id = 0;
  int64_t height = 0, width = 0;
  std::vector<std::string> file_names;  // one a frame, relative to the image folder
  [[nodiscard]] int64_t length() const { return static_cast<int64_t>(file_names.size()); }
};

/// One object through one video. The three lists have one entry a frame; nothing where the object is absent.
struct TrackAnnotation {
  int64_t id = 0, video_id = 0, category_id = 0;
  bool is_crowd = false;
  std::vector<std::optional<Rle>> masks;
  std::vector<std::optional<Box>> boxes;
  std::vector<std::optional<double>> areas;  // as the file says, which need not be those of the masks
};

/// A data set in the format of YouTube-VIS 2019/2021/2022 and OVIS. Ids are unique and every reference resolves.
struct VideoDataset {
  std::vector<Video> videos;
  std::vector<Category> categories;
  std::vector<TrackAnnotation> annotations;
  GroundTruth ground_truth = GroundTruth::missing;
  std::vector<std::string> warnings;  // what was tolerated, with file and id
  IdIndex video_index, category_index;
};

/// Reads a data set. Masks may be run lengths (list or compressed string) or polygons; all become Rle of the video's
/// size. Boxes that the file leaves out are computed from the masks. Throws InputError naming file, record and id for
/// anything that is not this format: no JSON, missing or mistyped keys, impossible sizes, lists of another length than
/// the video, masks of another size, duplicate ids, references to nothing, file names outside the image folder.
[[nodiscard]] VideoDataset read_ytvis(const std::string& path);
/// The same from memory; `name` stands for the file in messages.
[[nodiscard]] VideoDataset parse_ytvis(std::string_view json, const std::string& name);

/// Reads what can be read: a record that does not fit is left out and its error, worded as read_ytvis words it, is
/// added to `problems`. What refers to a record that was left out goes with it silently.
[[nodiscard]] VideoDataset inspect_ytvis(std::string_view json, const std::string& name,
                                         std::vector<std::string>& problems);

}  // namespace visage::annotation
