#include "visage/pipeline/frame_line.h"

#include "visage/pipeline/class_name.h"

#include <nlohmann/json.hpp>

namespace visage::pipeline {
namespace {

using Json = nlohmann::ordered_json;

Json object_of(const TrackedObject& object, const annotation::Rle& mask, const std::string& label) {
  const annotation::Box box = annotation::bounding_box(mask);
  return {{"track", object.track},
          {"category_id", object.label + 1},
          {"label", label},
          {"score", object.score},
          {"box", {box.x, box.y, box.width, box.height}},
          {"area", annotation::area(mask)},
          {"segmentation", {{"size", {mask.height, mask.width}}, {"counts", annotation::to_string(mask)}}}};
}

}  // namespace

std::string frame_line(const FrameResult& result, std::span<const annotation::Rle> masks, const std::string& name,
                       const std::vector<std::string>& class_names) {
  Json objects = Json::array();
  for (std::size_t i = 0; i < result.objects.size(); ++i)
    objects.push_back(object_of(result.objects[i], masks[i], class_name(class_names, result.objects[i].label)));
  const Json frame = {{"frame", result.index},
                      {"name", name},
                      {"size", {result.size.height, result.size.width}},
                      {"objects", std::move(objects)}};
  return frame.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace visage::pipeline
