#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/annotation/contour.h"
#include "visage/annotation/exchange.h"
#include "visage/annotation/exchange_parts.h"
#include "visage/annotation/json_records.h"
#include "visage/annotation/xml.h"
#include "visage/media/markup.h"

namespace visage::annotation {
namespace {

std::string tagged(const char* tag, const std::string& content) {
  return std::string("<") + tag + ">" + content + "</" + tag + ">";
}

std::string meta_of(const VideoTracks& tracks) {
  const Video& video = tracks.video;
  std::string labels;
  for (const Category& category : tracks.categories)
    labels += tagged("label", tagged("name", media::escaped_markup(category.name)) + "<attributes></attributes>");
  const std::string size =
      tagged("width", std::to_string(video.width)) + tagged("height", std::to_string(video.height));
  return tagged(
      "meta", tagged("task", tagged("size", std::to_string(video.length())) + tagged("mode", "interpolation") +
                                 tagged("start_frame", "0") + tagged("stop_frame", std::to_string(video.length() - 1)) +
                                 tagged("labels", labels) + tagged("original_size", size)));
}

// "x,y;x,y": the outline of what was seen.
std::string points_of(const Sighting& seen, double tolerance) {
  const Box& b = seen.box;
  const double right = b.x + b.width, bottom = b.y + b.height;
  const Polygon ring =
      seen.mask ? polygon_of(*seen.mask, tolerance) : Polygon{b.x, b.y, right, b.y, right, bottom, b.x, bottom};
  std::string points;
  for (size_t i = 0; i + 1 < ring.size(); i += 2) {
    append(points += i ? ";" : "", ring[i]);
    append(points += ",", ring[i + 1]);
  }
  return points;
}

void write_track(files::AtomicFile& out, const ObjectTrack& track, const std::string& label, double tolerance) {
  out.write("\n<track id=\"" + std::to_string(track.id - 1) + "\" label=\"" + media::escaped_markup(label) +
            "\" source=\"auto\">");
  std::string last;
  for (size_t frame = 0; frame < track.frames.size(); ++frame) {
    const std::optional<Sighting>& seen = track.frames[frame];
    const std::string points = seen ? points_of(*seen, tolerance) : "";
    if (points.empty() && last.empty()) continue;
    // Where the object leaves, its last outline says so; without that a tool would go on showing it.
    out.write("\n<polygon frame=\"" + std::to_string(frame) + "\" outside=\"" + (points.empty() ? "1" : "0") +
              "\" occluded=\"0\" keyframe=\"1\" points=\"" + (points.empty() ? last : points) +
              "\" z_order=\"0\"></polygon>");
    last = points;
  }
  out.write("\n</track>");
}

// One shape, with errors that say where.
class Shape {
 public:
  Shape(const XmlElement& element, std::string where) : element_(element), where_(std::move(where)) {}

  const std::string& text(const char* key) const {
    const std::string* value = element_.attribute(key);
    check<InputError>(value != nullptr, "", where_, ": \"", key, "\" is missing");
    return *value;
  }
  double number(const char* key) const { return to_number(text(key), where_ + ": \"" + key + "\""); }
  int64_t whole(const char* key) const { return to_whole(text(key), where_ + ": \"" + key + "\""); }
  const std::string& where() const { return where_; }

  Rle mask(const Video& video) const {
    if (element_.name == "mask") return painted(video);
    Polygon ring;
    if (element_.name == "box") {
      const double left = number("xtl"), top = number("ytl"), right = number("xbr"), bottom = number("ybr");
      ring = {left, top, right, top, right, bottom, left, bottom};
    } else {
      check<InputError>(element_.name == "polygon", "", where_, ": only polygons, masks and boxes are read");
      for (const std::string_view point : split(text("points"), ';')) {
        const std::vector<std::string_view> xy = split(point, ',');
        check<InputError>(xy.size() == 2, "", where_, ": \"points\" must be x,y;x,y;...");
        for (const std::string_view value : xy) ring.push_back(to_number(value, where_));
      }
      check<InputError>(ring.size() >= 6, "", where_, ": a polygon needs 3 points");
    }
    return rle_from_polygon(video.height, video.width, ring);
  }

 private:
  // Runs row by row in the mask's box, background first.
  Rle painted(const Video& video) const {
    const int64_t left = whole("left"), top = whole("top"), width = whole("width"), height = whole("height");
    const bool within =
        left >= 0 && top >= 0 && width > 0 && height > 0 && left <= video.width - width && top <= video.height - height;
    check<InputError>(within, "", where_, ": the mask is not within the frame");
    std::vector<uint8_t> pixels(static_cast<size_t>(video.height * video.width));
    int64_t position = 0;
    bool inside = false;
    for (const std::string_view run : split(text("rle"), ',')) {
      const int64_t length = to_whole(run, where_ + ": \"rle\"");
      check<InputError>(length >= 0 && length <= width * height - position, "", where_,
                        ": \"rle\" does not fit into width x height");
      for (const int64_t end = position + length; position < end; ++position)
        pixels[(top + position / width) * video.width + left + position % width] = inside;
      inside = !inside;
    }
    return encode_rows(pixels.data(), video.height, video.width);
  }

  const XmlElement& element_;
  std::string where_;
};

// A number in the description of the task, whatever level it stands at.
int64_t described(const XmlElement& meta, std::initializer_list<const char*> way, const std::string& name) {
  const XmlElement* at = meta.child("task");
  if (!at) at = meta.child("job");
  std::string place = "meta/task";
  for (const char* step : way) {
    place += std::string("/") + step;
    if (at) at = at->child(step);
  }
  check<InputError>(at != nullptr, "", name, ": <", place, "> is missing; export it as CVAT for video 1.1");
  return to_whole(split(at->text, '\n').front(), name + ": <" + place + ">");
}

Video described_frames(const XmlElement& root, const std::string& name) {
  const XmlElement* meta = root.child("meta");
  check<InputError>(meta != nullptr, "", name, ": <meta> is missing; export it as CVAT for video 1.1");
  const int64_t length = described(*meta, {"size"}, name);
  const int64_t height = described(*meta, {"original_size", "height"}, name);
  const int64_t width = described(*meta, {"original_size", "width"}, name);
  return unnamed_frames(length, height, width, name + ": <meta>");
}

void add_track(const XmlElement& element, const std::string& name, const Video& video, CategoryNames& names,
               TrackCollector& collector) {
  const Shape track(element, name + ": <track>");
  const int64_t id = track.whole("id"), category = names.id_of(track.text("label"));
  for (const XmlElement& child : element.children) {
    Shape shape(child, name + ": track " + std::to_string(id) + ": <" + child.name + ">");
    const int64_t frame = shape.whole("frame");
    check_frame(frame, video, shape.where() + " of frame " + std::to_string(frame));
    if (const std::string* outside = child.attribute("outside"); outside && *outside == "1") continue;
    Rle mask = shape.mask(video);
    const Box box = bounding_box(mask);
    // Ids count from 0 there.
    collector.add(frame, id + 1, category, {.box = box, .mask = std::move(mask)}, shape.where());
  }
}

}  // namespace

void write_cvat(const std::string& path, const VideoTracks& tracks, double tolerance) {
  check_absent(path);
  files::AtomicFile out(path);
  out.write("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations><version>1.1</version>\n" + meta_of(tracks));
  for (const ObjectTrack& track : tracks.tracks)
    write_track(out, track, category_name(tracks, track.category_id), tolerance);
  out.write("\n</annotations>\n");
  out.commit();
}

VideoTracks read_cvat(const std::string& path, const KnownFrames& frames) {
  const std::string text = read_text(path);
  const XmlElement root = parse_xml(text, path);
  check<InputError>(root.name == "annotations", "", path,
                    ": the root must be <annotations>; export it as CVAT for "
                    "video 1.1");
  VideoTracks result{.video = frames ? *frames : described_frames(root, path), .categories = {}, .tracks = {}};
  CategoryNames names;
  if (const XmlElement* meta = root.child("meta"); meta && (meta->child("task") || meta->child("job"))) {
    const XmlElement& task = meta->child("task") ? *meta->child("task") : *meta->child("job");
    if (const XmlElement* labels = task.child("labels"))
      for (const XmlElement& label : labels->children)
        if (const XmlElement* name = label.child("name")) (void)names.id_of(name->text);
  }
  TrackCollector collector(ClassChange::refuse);
  for (const XmlElement& child : root.children) {
    check<InputError>(child.name != "image", "", path,
                      ": holds images; export it as CVAT for video 1.1, which keeps "
                      "tracks");
    if (child.name == "track") add_track(child, path, result.video, names, collector);
  }
  result.tracks = std::move(collector).take(result.video.length());
  result.categories = std::move(names).take();
  return result;
}

}  // namespace visage::annotation
