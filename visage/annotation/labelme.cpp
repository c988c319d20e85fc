#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/annotation/contour.h"
#include "visage/annotation/exchange.h"
#include "visage/annotation/exchange_parts.h"
#include "visage/annotation/json_records.h"
#include "visage/media/natural_order.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace visage::annotation {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using nlohmann::json;

void add_shapes(Json& shapes, const ObjectTrack& track, const Sighting& seen, const std::string& label,
                double tolerance) {
  const auto add = [&](const char* type, const Polygon& ring) {
    Json points = Json::array();
    for (size_t i = 0; i + 1 < ring.size(); i += 2) points.push_back({ring[i], ring[i + 1]});
    shapes.push_back({{"label", label},
                      {"points", std::move(points)},
                      {"group_id", track.id},
                      {"shape_type", type},
                      {"flags", Json::object()}});
  };
  const Box& box = seen.box;
  if (!seen.mask) return add("rectangle", {box.x, box.y, box.x + box.width, box.y + box.height});
  for (const Polygon& ring : polygons_of(*seen.mask, tolerance)) add("polygon", ring);
}

// One frame of a LabelMe folder.
struct Page {
  std::string file;
  json record;
};

Polygon ring_of(const Fields& shape) {
  Polygon ring;
  for (const json& point : shape.list("points")) {
    const bool pair = point.is_array() && point.size() == 2 && point[0].is_number() && point[1].is_number();
    check<InputError>(pair, "", shape.where(), ": \"points\" must be pairs of numbers");
    ring.push_back(point[0].get<double>());
    ring.push_back(point[1].get<double>());
  }
  const std::string type = shape.has("shape_type") ? shape.string("shape_type") : "polygon";
  if (type == "rectangle" && ring.size() == 4)
    ring = {ring[0], ring[1], ring[2], ring[1], ring[2], ring[3], ring[0], ring[3]};
  else
    check<InputError>(type == "polygon", "", shape.where(), ": is a ", type, "; only polygons and rectangles are read");
  check<InputError>(ring.size() >= 6, "", shape.where(), ": a polygon needs 3 points");
  return ring;
}

std::map<std::string, Page> read_pages(const std::string& path) {
  std::error_code error;
  check<InputError>(fs::is_directory(path, error), "", path, ": is not a folder; name the one with the JSON files");
  std::map<std::string, Page> pages;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() != ".json") continue;
    const std::string file = entry.path().string();
    json record = json::parse(read_text(file), nullptr, false);
    check<InputError>(record.is_object(), "", file, ": not one JSON object");
    const std::string image = fs::path(Fields(record, file).string("imagePath")).filename();
    const bool fresh = pages.emplace(image, Page{file, std::move(record)}).second;
    check<InputError>(fresh, "", file, ": another file is of the same image, ", image);
  }
  check<InputError>(!pages.empty(), "", path, ": has no JSON file");
  return pages;
}

Video frames_of(const std::map<std::string, Page>& pages) {
  Video video{.id = 1, .file_names = {}};
  for (const auto& [image, page] : pages) {
    const Fields fields(page.record, page.file);
    if (video.height == 0) video.height = fields.size("imageHeight"), video.width = fields.size("imageWidth");
    video.file_names.push_back(to_file_name(image, page.file + ": \"imagePath\""));
  }
  std::sort(video.file_names.begin(), video.file_names.end(), media::natural_less);
  return video;
}

// The objects of one image: shapes of a group are parts of one mask.
void add_page(const Page& page, int64_t frame, const Video& video, CategoryNames& names, TrackCollector& collector) {
  const Fields fields(page.record, page.file);
  check<InputError>(fields.size("imageHeight") == video.height && fields.size("imageWidth") == video.width, "",
                    page.file, ": the image has another size than the video");
  struct Object {
    int64_t category_id = 0;
    std::vector<Polygon> rings;
  };
  std::map<int64_t, Object> objects;
  const json& shapes = fields.list("shapes");
  for (size_t i = 0; i < shapes.size(); ++i) {
    check<InputError>(shapes[i].is_object(), "", page.file, ": shapes[", i, "] must be an object");
    const Fields shape(shapes[i], page.file + ": shapes[" + std::to_string(i) + "]");
    check<InputError>(shape.has("group_id") && !shape.at("group_id").is_null(), "", shape.where(),
                      ": has no \"group_id\"; it says which shapes are one object, in all frames");
    const int64_t category = names.id_of(shape.string("label"));
    const auto [found, fresh] = objects.try_emplace(shape.integer("group_id"));
    check<InputError>(fresh || found->second.category_id == category, "", shape.where(),
                      ": another shape of its group has another label");
    found->second.category_id = category;
    found->second.rings.push_back(ring_of(shape));
  }
  for (const auto& [track, object] : objects) {
    Rle mask = rle_from_polygons(video.height, video.width, object.rings);
    const Box box = bounding_box(mask);
    collector.add(frame, track, object.category_id, {.box = box, .mask = std::move(mask)}, page.file);
  }
}

}  // namespace

void write_labelme(const std::string& path, const VideoTracks& tracks, double tolerance) {
  check_absent(path);
  files::TemporaryPath place(path, files::Kind::folder, files::Existing::refuse);
  std::set<std::string> written;
  for (size_t frame = 0; frame < tracks.video.file_names.size(); ++frame) {
    const std::string& name = tracks.video.file_names[frame];
    Json shapes = Json::array();
    for (const ObjectTrack& track : tracks.tracks)
      if (const std::optional<Sighting>& seen = track.frames[frame])
        add_shapes(shapes, track, *seen, category_name(tracks, track.category_id), tolerance);
    const Json page = {{"version", "5.0.1"},
                       {"flags", Json::object()},
                       {"shapes", std::move(shapes)},
                       {"imagePath", fs::path(name).filename().string()},
                       {"imageData", nullptr},
                       {"imageHeight", tracks.video.height},
                       {"imageWidth", tracks.video.width}};
    const std::string file = fs::path(name).stem().string() + ".json";
    check<InputError>(written.insert(file).second, "", "LabelMe: two frames would be ", file,
                      "; their names must differ without folder and ending");
    files::write_file(place.path() + "/" + file, page.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  place.publish();
}

VideoTracks read_labelme(const std::string& path, const KnownFrames& frames) {
  std::map<std::string, Page> pages = read_pages(path);
  VideoTracks result{.video = frames ? *frames : frames_of(pages), .categories = {}, .tracks = {}};
  const Video& video = result.video;
  CategoryNames names;
  TrackCollector collector(ClassChange::refuse);
  for (int64_t frame = 0; frame < video.length(); ++frame) {
    const auto found = pages.find(fs::path(video.file_names[static_cast<size_t>(frame)]).filename());
    if (found == pages.end()) continue;
    add_page(found->second, frame, video, names, collector);
    pages.erase(found);
  }
  check<InputError>(pages.empty(), "", pages.empty() ? "" : pages.begin()->second.file,
                    ": its image is none of the frames");
  result.tracks = std::move(collector).take(video.length());
  result.categories = std::move(names).take();
  return result;
}

}  // namespace visage::annotation
