#include "tensor/error.h"
#include "visage/annotation/coco.h"
#include "visage/annotation/exchange.h"
#include "visage/annotation/exchange_parts.h"
#include "visage/annotation/json_writer.h"

namespace visage::annotation {
namespace {

void write_instance(JsonWriter& out, int64_t image_id, const ObjectTrack& track, const Sighting& seen) {
  out.text(",\"image_id\":").integer(image_id).text(",\"category_id\":").integer(track.category_id);
  out.text(",\"track_id\":").integer(track.id).text(",\"score\":").number(seen.score);
  out.text(",\"iscrowd\":0,\"bbox\":[").number(seen.box.x).text(",").number(seen.box.y);
  out.text(",").number(seen.box.width).text(",").number(seen.box.height).text("],\"area\":");
  if (seen.mask) {
    out.integer(area(*seen.mask)).text(",\"segmentation\":");
    out.mask(seen.mask->height, seen.mask->width, to_string(*seen.mask)).text("}");
  } else {
    out.number(seen.box.width * seen.box.height).text(",\"segmentation\":[]}");
  }
}

}  // namespace

void write_coco(const std::string& path, const VideoTracks& tracks) {
  check_absent(path);
  JsonWriter out(path);
  const Video& video = tracks.video;
  out.text("{\"videos\":[{\"id\":1}],\n\"categories\":[");
  for (size_t i = 0; i < tracks.categories.size(); ++i) {
    const Category& category = tracks.categories[i];
    out.text(i ? ",\n " : "\n ").text("{\"id\":").integer(category.id).text(",\"name\":").string(category.name);
    out.text(",\"supercategory\":").string(category.supercategory).text("}");
  }
  out.text("],\n\"images\":[");
  for (int64_t frame = 0; frame < video.length(); ++frame) {
    out.text(frame ? ",\n " : "\n ").text("{\"id\":").integer(frame + 1).text(",\"video_id\":1,\"frame_id\":");
    out.integer(frame).text(",\"height\":").integer(video.height).text(",\"width\":").integer(video.width);
    out.text(",\"file_name\":").string(video.file_names[static_cast<size_t>(frame)]).text("}");
  }
  out.text("],\n\"annotations\":[");
  int64_t id = 0;
  for (int64_t frame = 0; frame < video.length(); ++frame) {
    for (const ObjectTrack& track : tracks.tracks) {
      const std::optional<Sighting>& seen = track.frames[static_cast<size_t>(frame)];
      if (!seen) continue;
      out.text(id ? ",\n " : "\n ").text("{\"id\":").integer(id + 1);
      ++id;
      write_instance(out, frame + 1, track, *seen);
    }
  }
  out.text("]}\n");
  out.close();
}

VideoTracks read_coco_tracks(const std::string& path) {
  const ImageDataset data = read_coco(path);
  VideoTracks result{.video = {.id = 1, .file_names = {}}, .categories = data.categories, .tracks = {}};
  Video& video = result.video;
  video.height = data.images[0].height, video.width = data.images[0].width;
  for (const CocoImage& image : data.images) {
    check<InputError>(image.height == video.height && image.width == video.width, "", path, ": image ", image.id,
                      " has another size than the first; frames of a video have one size");
    video.file_names.push_back(image.file_name);
  }
  TrackCollector collector(ClassChange::refuse);
  for (const CocoInstance& instance : data.instances) {
    const std::string where = path + ": annotation " + std::to_string(instance.id);
    check<InputError>(instance.track_id.has_value(), "", where,
                      ": \"track_id\" is missing; it says which annotations "
                      "are one object");
    const size_t frame = data.image_index.at(instance.image_id);
    Rle mask = mask_of(instance, data.images[frame]);
    const Box box = bounding_box(mask);
    collector.add(static_cast<int64_t>(frame), *instance.track_id, instance.category_id,
                  {.box = box, .mask = std::move(mask)}, where);
  }
  result.tracks = std::move(collector).take(video.length());
  return result;
}

}  // namespace visage::annotation
