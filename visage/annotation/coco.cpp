#include "visage/annotation/coco.h"

#include "tensor/error.h"
#include "visage/annotation/json_records.h"

#include <nlohmann/json.hpp>

#include <unordered_set>
#include <utility>

namespace visage::annotation {
namespace {

using nlohmann::json;

// The track of an annotation, which tools keep beside it or among its attributes.
std::optional<int64_t> track_of(const Fields& fields) {
  if (fields.has("track_id") && fields.at("track_id").is_number_integer()) return fields.integer("track_id");
  if (!fields.has("attributes") || !fields.at("attributes").is_object()) return std::nullopt;
  const Fields attributes(fields.at("attributes"), fields.where() + ": \"attributes\"");
  const bool there = attributes.has("track_id") && attributes.at("track_id").is_number_integer();
  return there ? std::optional(attributes.integer("track_id")) : std::nullopt;
}

// The lists of a file may stand in any order, so what refers to images and categories is checked at the end.
class CocoReader {
 public:
  CocoReader(JsonText source, std::vector<std::string>* problems) : source_(std::move(source)), errors_(problems) {}

  ImageDataset read() && {
    errors_.run([this] { read_all(); });
    return std::move(data_);
  }

 private:
  void read_all() {
    std::vector<Section> sections{
        {.key = "images",
         .handle =
             [this](const json& record, const std::string& where) {
               const bool ok = errors_.run([&] { add_image(record, where); });
               if (const auto id = id_of(record); !ok && id) left_out_images_.insert(*id);
             }},
        {.key = "categories",
         .handle =
             [this](const json& record, const std::string& where) {
               const bool ok =
                   errors_.run([&] { add_category(record, where, data_.categories, data_.category_index); });
               if (const auto id = id_of(record); !ok && id) left_out_categories_.insert(*id);
             }},
        {.key = "annotations", .handle = [this](const json& record, const std::string& where) {
           errors_.run([&] { add_instance(record, where); });
         }}};
    read_sections(source_, sections);
    for (const size_t needed : {0, 1}) {
      check<InputError>(sections[needed].presence == Section::Presence::list, "", source_.name, ": the list \"",
                        sections[needed].key, "\" is missing");
    }
    if (sections[2].presence == Section::Presence::list) data_.ground_truth = GroundTruth::present;
    check<InputError>(!data_.images.empty() || !left_out_images_.empty(), "", source_.name, ": \"images\" is empty");
    std::vector<CocoInstance> read = std::exchange(data_.instances, {});
    for (size_t i = 0; i < read.size(); ++i) {
      const bool orphan =
          (left_out_images_.contains(read[i].image_id) && !data_.image_index.contains(read[i].image_id)) ||
          (left_out_categories_.contains(read[i].category_id) && !data_.category_index.contains(read[i].category_id));
      if (!orphan && errors_.run([&] { check_references(read[i], places_[i]); }))
        data_.instances.push_back(std::move(read[i]));
    }
  }

  void add_image(const json& record, const std::string& where) {
    const Fields fields = Fields::with_id(record, where);
    const FrameSize size = frame_size(fields);
    CocoImage image{.id = fields.integer("id"), .height = size.height, .width = size.width, .file_name = {}};
    image.file_name = to_file_name(fields.at("file_name"), fields.where() + ": \"file_name\"");
    const bool fresh = data_.image_index.emplace(image.id, data_.images.size()).second;
    check<InputError>(fresh, "", fields.where(), ": another image has the same id");
    data_.images.push_back(std::move(image));
  }

  void add_instance(const json& record, const std::string& where) {
    const Fields fields = Fields::with_id(record, where);
    CocoInstance instance{.id = fields.integer("id"),
                          .image_id = fields.integer("image_id"),
                          .category_id = fields.integer("category_id"),
                          .is_crowd = fields.has("iscrowd") && fields.flag("iscrowd"),
                          .track_id = track_of(fields),
                          .area = {},
                          .box = {},
                          .rle = {},
                          .polygons = {}};
    if (fields.has("area")) instance.area = to_area(fields.at("area"), fields.where() + ": \"area\"");
    if (fields.has("bbox")) instance.box = to_box(fields.at("bbox"), fields.where() + ": \"bbox\"");
    check<InputError>(ids_.insert(instance.id).second, "", fields.where(), ": another annotation has the same id");
    Segmentation mask =
        to_segmentation(fields.at("segmentation"), fields.where() + ": \"segmentation\"", data_.warnings);
    if (mask.empty()) {
      data_.warnings.push_back(fields.where() + " dropped: it has no mask");
      return;
    }
    instance.rle = std::move(mask.rle);
    instance.polygons = std::move(mask.polygons);
    data_.instances.push_back(std::move(instance));
    places_.push_back(where);
  }

  void check_references(const CocoInstance& instance, const std::string& place) const {
    const std::string where = place + " (id " + std::to_string(instance.id) + ")";
    const auto found = data_.image_index.find(instance.image_id);
    check<InputError>(found != data_.image_index.end(), "", where, ": no image has id ", instance.image_id);
    check<InputError>(data_.category_index.contains(instance.category_id), "", where, ": no category has id ",
                      instance.category_id);
    const CocoImage& image = data_.images[found->second];
    if (instance.rle) check_mask_size(*instance.rle, {image.height, image.width}, where + ": \"segmentation\"");
  }

  JsonText source_;
  ImageDataset data_;
  std::vector<std::string> places_;
  std::unordered_set<int64_t> ids_, left_out_images_, left_out_categories_;
  RecordErrors errors_;
};

}  // namespace

ImageDataset parse_coco(std::string_view json, const std::string& name) {
  return CocoReader({.name = name, .text = json}, nullptr).read();
}

ImageDataset inspect_coco(std::string_view json, const std::string& name, std::vector<std::string>& problems) {
  return CocoReader({.name = name, .text = json}, &problems).read();
}

ImageDataset read_coco(const std::string& path) { return parse_coco(read_text(path), path); }

Rle mask_of(const CocoInstance& instance, const CocoImage& image) {
  return instance.rle ? *instance.rle : rle_from_polygons(image.height, image.width, instance.polygons);
}

}  // namespace visage::annotation
