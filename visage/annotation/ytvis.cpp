#include "visage/annotation/ytvis.h"

#include "tensor/error.h"
#include "visage/annotation/json_records.h"

#include <nlohmann/json.hpp>

#include <unordered_set>

namespace visage::annotation {
namespace {

using nlohmann::json;

// The lists of a file may stand in any order, so what refers to videos and categories is resolved at the end.
class YtvisReader {
 public:
  YtvisReader(JsonText source, std::vector<std::string>* problems) : source_(std::move(source)), errors_(problems) {}

  VideoDataset read() && {
    errors_.run([this] { read_all(); });
    return std::move(data_);
  }

 private:
  struct Draft {
    TrackAnnotation annotation;
    std::vector<Segmentation> segmentations;
    bool has_boxes = false;
    std::string where;
  };

  void read_all() {
    std::vector<Section> sections{
        {.key = "videos",
         .handle =
             [this](const json& record, const std::string& where) {
               const bool ok = errors_.run([&] { add_video(record, where); });
               if (const auto id = id_of(record); !ok && id) left_out_videos_.insert(*id);
             }},
        {.key = "categories",
         .handle =
             [this](const json& record, const std::string& where) {
               const bool ok =
                   errors_.run([&] { add_category(record, where, data_.categories, data_.category_index); });
               if (const auto id = id_of(record); !ok && id) left_out_categories_.insert(*id);
             }},
        {.key = "annotations", .handle = [this](const json& record, const std::string& where) {
           errors_.run([&] { add_draft(record, where); });
         }}};
    read_sections(source_, sections);
    for (const size_t needed : {0, 1}) {
      check<InputError>(sections[needed].presence == Section::Presence::list, "", source_.name, ": the list \"",
                        sections[needed].key, "\" is missing");
    }
    if (sections[2].presence == Section::Presence::list) data_.ground_truth = GroundTruth::present;
    check<InputError>(!data_.videos.empty() || !left_out_videos_.empty(), "", source_.name, ": \"videos\" is empty");
    for (Draft& draft : drafts_) {
      const TrackAnnotation& annotation = draft.annotation;
      const bool orphan =
          (left_out_videos_.contains(annotation.video_id) && !data_.video_index.contains(annotation.video_id)) ||
          (left_out_categories_.contains(annotation.category_id) &&
           !data_.category_index.contains(annotation.category_id));
      if (!orphan) errors_.run([&] { data_.annotations.push_back(resolve(std::move(draft))); });
    }
  }

  void add_video(const json& record, const std::string& where) {
    const Fields fields = Fields::with_id(record, where);
    const FrameSize size = frame_size(fields);
    Video video{.id = fields.integer("id"), .height = size.height, .width = size.width, .file_names = {}};
    const int64_t length = fields.size("length");
    const json& names = fields.list("file_names");
    check<InputError>(static_cast<int64_t>(names.size()) == length, "", fields.where(), ": \"file_names\" has ",
                      names.size(), " entries, \"length\" is ", length);
    for (const json& name : names) {
      video.file_names.push_back(to_file_name(name, entry(fields.where(), "file_names", video.file_names.size())));
    }
    const bool fresh = data_.video_index.emplace(video.id, data_.videos.size()).second;
    check<InputError>(fresh, "", fields.where(), ": another video has the same id");
    data_.videos.push_back(std::move(video));
  }

  void add_draft(const json& record, const std::string& where) {
    const Fields fields = Fields::with_id(record, where);
    Draft draft{.annotation = {}, .segmentations = {}, .where = fields.where()};
    TrackAnnotation& annotation = draft.annotation;
    annotation.id = fields.integer("id");
    annotation.video_id = fields.integer("video_id");
    annotation.category_id = fields.integer("category_id");
    annotation.is_crowd = fields.flag("iscrowd");
    check<InputError>(annotation_ids_.insert(annotation.id).second, "", draft.where,
                      ": another annotation has the same id");
    if (annotation.id == 0)
      data_.warnings.push_back(draft.where + ": the official evaluator never counts a match with id 0");

    auto& masks = draft.segmentations;
    for (const json& value : fields.list("segmentations")) {
      masks.push_back(to_segmentation(value, entry(draft.where, "segmentations", masks.size()), data_.warnings));
    }
    auto& areas = annotation.areas;
    for (const json& value : fields.list("areas")) {
      areas.push_back(to_area(value, entry(draft.where, "areas", areas.size())));
    }
    draft.has_boxes = fields.has("bboxes");
    if (draft.has_boxes) {
      auto& boxes = annotation.boxes;
      for (const json& value : fields.list("bboxes")) {
        boxes.push_back(to_box(value, entry(draft.where, "bboxes", boxes.size())));
      }
    }
    drafts_.push_back(std::move(draft));
  }

  TrackAnnotation resolve(Draft draft) const {
    TrackAnnotation annotation = std::move(draft.annotation);
    const auto found = data_.video_index.find(annotation.video_id);
    check<InputError>(found != data_.video_index.end(), "", draft.where, ": no video has id ", annotation.video_id);
    check<InputError>(data_.category_index.contains(annotation.category_id), "", draft.where, ": no category has id ",
                      annotation.category_id);
    const Video& video = data_.videos[found->second];
    check_length(draft.where, "segmentations", draft.segmentations.size(), video);
    check_length(draft.where, "areas", annotation.areas.size(), video);
    if (draft.has_boxes) check_length(draft.where, "bboxes", annotation.boxes.size(), video);

    for (Segmentation& segmentation : draft.segmentations) {
      const std::string where = entry(draft.where, "segmentations", annotation.masks.size());
      annotation.masks.push_back(to_mask(std::move(segmentation), {video.height, video.width}, where));
      const std::optional<Rle>& mask = annotation.masks.back();
      if (!draft.has_boxes) annotation.boxes.push_back(mask ? std::optional(bounding_box(*mask)) : std::nullopt);
    }
    return annotation;
  }

  static std::string entry(const std::string& where, const char* list, size_t index) {
    return where + ": " + list + "[" + std::to_string(index) + "]";
  }

  static void check_length(const std::string& where, const char* list, size_t entries, const Video& video) {
    check<InputError>(static_cast<int64_t>(entries) == video.length(), "", where, ": \"", list, "\" has ", entries,
                      " entries, video ", video.id, " has ", video.length(), " frames");
  }

  JsonText source_;
  VideoDataset data_;
  std::vector<Draft> drafts_;
  std::unordered_set<int64_t> annotation_ids_, left_out_videos_, left_out_categories_;
  RecordErrors errors_;
};

}  // namespace

VideoDataset parse_ytvis(std::string_view json, const std::string& name) {
  return YtvisReader({.name = name, .text = json}, nullptr).read();
}

VideoDataset inspect_ytvis(std::string_view json, const std::string& name, std::vector<std::string>& problems) {
  return YtvisReader({.name = name, .text = json}, &problems).read();
}

VideoDataset read_ytvis(const std::string& path) { return parse_ytvis(read_text(path), path); }

}  // namespace visage::annotation
