#include "visage/annotation/json_records.h"

#include "tensor/error.h"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

namespace visage::annotation {
namespace {

using nlohmann::json;

// No format read here nests deeper than 6; the limit keeps hostile files from growing the parser's stack.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxMessage = 240;

// Feeds records to their handler as soon as they are complete and lets the parser forget them.
class RecordParser {
 public:
  RecordParser(const JsonText& source, std::vector<Section>* sections, const RecordHandler* list_handler)
      : source_(source), sections_(sections), handler_(list_handler), record_depth_(sections ? 2 : 1) {}

  void run() {
    try {
      const json rest =
          json::parse(source_.text.begin(), source_.text.end(),
                      [this](int depth, json::parse_event_t event, json& parsed) { return on(depth, event, parsed); });
    } catch (const json::exception& error) {
      std::string message = error.what();
      if (const size_t prefix = message.find("] "); prefix != std::string::npos) message.erase(0, prefix + 2);
      if (message.size() > kMaxMessage) message = message.substr(0, kMaxMessage) + "...";
      fail<InputError>("", source_.name, ": not valid JSON: ", message);
    }
  }

 private:
  using Event = json::parse_event_t;

  bool on(int depth, Event event, json& parsed) {
    check<InputError>(depth <= kMaxDepth, "", source_.name, ": nested deeper than ", kMaxDepth, " levels");
    if (event == Event::array_end || event == Event::object_end) return on_end(depth, event, parsed);
    if (event == Event::key) return depth == 1 && sections_ ? on_key(parsed.get_ref<const std::string&>()) : true;
    if (depth == 0) check_root(event);
    if (sections_ && depth == 1) on_section(event, parsed);
    if (handler_ && depth == record_depth_) {
      check<InputError>(event == Event::object_start, "", place(), ": must be an object");
    }
    return true;
  }

  bool on_end(int depth, Event event, const json& parsed) {
    if (sections_ && depth == 1 && event == Event::array_end) handler_ = nullptr;
    if (!handler_ || depth != record_depth_ || event != Event::object_end) return true;
    (*handler_)(parsed, place());
    ++index_;
    return false;
  }

  bool on_key(const std::string& key) {
    handler_ = nullptr;
    section_ = nullptr;
    for (Section& section : *sections_) {
      if (key == section.key) section_ = &section;
    }
    return section_ != nullptr;
  }

  void on_section(Event event, const json& parsed) {
    if (!section_) return;
    check<InputError>(section_->presence == Section::Presence::absent, "", source_.name, ": \"", section_->key,
                      "\" appears twice");
    const bool null = event == Event::value && parsed.is_null();
    check<InputError>(null || event == Event::array_start, "", source_.name, ": \"", section_->key,
                      "\" must be a list");
    section_->presence = null ? Section::Presence::null : Section::Presence::list;
    handler_ = null ? nullptr : &section_->handle;
    index_ = 0;
  }

  void check_root(Event event) const {
    const bool ok = event == (sections_ ? Event::object_start : Event::array_start);
    check<InputError>(ok, "", source_.name, ": the file must hold one ", sections_ ? "object" : "list");
  }

  std::string place() const {
    return source_.name + ": " + (section_ ? section_->key : "element") + "[" + std::to_string(index_) + "]";
  }

  const JsonText& source_;
  std::vector<Section>* sections_;
  const RecordHandler* handler_;
  int record_depth_;
  Section* section_ = nullptr;
  int64_t index_ = 0;
};

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

int64_t to_integer(const json& value, const std::string& where) {
  const bool fits =
      value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t{INT64_MAX});
  check<InputError>(fits, "", where, " must be an integer; got ", shown(value));
  return value.get<int64_t>();
}

double to_finite(const json& value, const std::string& where) {
  check<InputError>(value.is_number() && std::isfinite(value.get<double>()), "", where,
                    " must be a finite number; got ", shown(value));
  return value.get<double>();
}

Rle to_rle(const json& value, const std::string& where) {
  const Fields fields(value, where);
  const json& size = fields.list("size");
  check<InputError>(size.size() == 2, "", where, ": \"size\" must be [height, width]; got ", shown(size));
  const int64_t height = to_integer(size[0], where + ": \"size\"");
  const int64_t width = to_integer(size[1], where + ": \"size\"");
  const json& counts = fields.at("counts");
  check<InputError>(counts.is_array() || counts.is_string(), "", where, ": \"counts\" must be a list or a string; got ",
                    shown(counts));
  std::vector<int64_t> runs;
  if (counts.is_array()) {
    runs.reserve(counts.size());
    for (const json& count : counts) runs.push_back(to_integer(count, where + ": an entry of \"counts\""));
  }
  try {
    return counts.is_array() ? rle_from_counts(height, width, runs)
                             : rle_from_string(height, width, counts.get_ref<const std::string&>());
  } catch (const InputError& error) {
    fail<InputError>("", where, ": ", error.what());
  }
}

std::vector<Polygon> to_polygons(const json& value, const std::string& where, std::vector<std::string>& warnings) {
  std::vector<Polygon> rings;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string part = where + ": polygon " + std::to_string(i);
    check<InputError>(value[i].is_array(), "", part, " must be a list of numbers; got ", shown(value[i]));
    Polygon ring;
    ring.reserve(value[i].size());
    for (const json& coordinate : value[i]) {
      ring.push_back(to_finite(coordinate, part + ": a coordinate"));
      check<InputError>(std::abs(ring.back()) <= kMaxCoordinate, "", part, ": coordinate ", ring.back(),
                        " is beyond +-", kMaxCoordinate);
    }
    if (ring.size() >= 6 && ring.size() % 2 == 0) {
      rings.push_back(std::move(ring));
    } else {
      warnings.push_back(part + " dropped: it has " + std::to_string(ring.size()) +
                         " numbers, and a polygon needs an even count of at least 6");
    }
  }
  return rings;
}

}  // namespace

std::string read_text(const std::string& path) {
  std::error_code status;
  check<InputError>(!std::filesystem::is_directory(path, status), "", path, ": is a folder; name an annotation file");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  check<InputError>(file != nullptr, "", path, ": cannot be opened (", std::strerror(errno),
                    "); check the path and its permissions");
  std::string text;
  const auto size = std::filesystem::file_size(path, status);
  if (!status) text.reserve(size);
  char buffer[1 << 16];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, file.get())) > 0;) text.append(buffer, got);
  check<InputError>(std::ferror(file.get()) == 0, "", path, ": cannot be read (", std::strerror(errno), ")");
  return text;
}

std::optional<int64_t> id_of(const json& record) {
  const auto found = record.find("id");
  if (found == record.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<int64_t>();
}

void read_sections(const JsonText& json, std::vector<Section>& sections) {
  RecordParser(json, &sections, nullptr).run();
}

void read_list(const JsonText& json, const RecordHandler& handle) { RecordParser(json, nullptr, &handle).run(); }

Fields Fields::with_id(const json& record, const std::string& where, const char* id_key) {
  const int64_t id = Fields(record, where).integer(id_key);
  return {record, where + " (" + id_key + " " + std::to_string(id) + ")"};
}

bool Fields::has(const char* key) const { return record_.contains(key); }

const json& Fields::at(const char* key) const {
  const auto found = record_.find(key);
  check<InputError>(found != record_.end(), "", where_, ": \"", key, "\" is missing");
  return *found;
}

int64_t Fields::integer(const char* key) const { return to_integer(at(key), where_ + ": \"" + key + "\""); }

int64_t Fields::size(const char* key) const {
  const int64_t value = integer(key);
  check<InputError>(value >= 1 && value <= kMaxPixels, "", where_, ": \"", key, "\" must be between 1 and ", kMaxPixels,
                    "; got ", value);
  return value;
}

double Fields::finite(const char* key) const { return to_finite(at(key), where_ + ": \"" + key + "\""); }

std::string Fields::string(const char* key) const {
  const json& value = at(key);
  check<InputError>(value.is_string(), "", where_, ": \"", key, "\" must be a string; got ", shown(value));
  return value.get<std::string>();
}

bool Fields::flag(const char* key) const {
  const json& value = at(key);
  if (value.is_boolean()) return value.get<bool>();
  const int64_t number = to_integer(value, where_ + ": \"" + key + "\"");
  check<InputError>(number == 0 || number == 1, "", where_, ": \"", key, "\" must be 0 or 1; got ", number);
  return number == 1;
}

const json& Fields::list(const char* key) const {
  const json& value = at(key);
  check<InputError>(value.is_array(), "", where_, ": \"", key, "\" must be a list; got ", shown(value));
  return value;
}

FrameSize frame_size(const Fields& fields) {
  const FrameSize size{.height = fields.size("height"), .width = fields.size("width")};
  check<InputError>(size.height <= kMaxPixels / size.width, "", fields.where(), ": ", size.height, " x ", size.width,
                    " is more than ", kMaxPixels, " pixels");
  return size;
}

void add_category(const json& record, const std::string& where, std::vector<Category>& categories, IdIndex& index) {
  const Fields fields = Fields::with_id(record, where);
  Category category{.id = fields.integer("id"), .name = fields.string("name"), .supercategory = {}};
  if (fields.has("supercategory") && fields.at("supercategory").is_string())
    category.supercategory = fields.string("supercategory");
  const bool fresh = index.emplace(category.id, categories.size()).second;
  check<InputError>(fresh, "", fields.where(), ": another category has the same id");
  categories.push_back(std::move(category));
}

std::optional<Box> to_box(const json& value, const std::string& where) {
  if (value.is_null() || (value.is_array() && value.empty())) return std::nullopt;
  check<InputError>(value.is_array() && value.size() == 4, "", where, " must be [x, y, width, height] or null; got ",
                    shown(value));
  const Box box{to_finite(value[0], where), to_finite(value[1], where), to_finite(value[2], where),
                to_finite(value[3], where)};
  check<InputError>(box.width >= 0 && box.height >= 0, "", where, " has a negative size: ", shown(value));
  return box;
}

std::optional<double> to_area(const json& value, const std::string& where) {
  if (value.is_null()) return std::nullopt;
  const double area = to_finite(value, where);
  check<InputError>(area >= 0, "", where, " is negative: ", area);
  return area;
}

std::string to_file_name(const json& value, const std::string& where) {
  check<InputError>(value.is_string(), "", where, " must be a string; got ", shown(value));
  const std::string name = value.get<std::string>();
  check<InputError>(!name.empty() && name.find('\0') == std::string::npos, "", where,
                    " is not a file name: ", shown(value));
  const bool climbs = ("/" + name + "/").find("/../") != std::string::npos || name.front() == '/';
  check<InputError>(!climbs, "", where, " leads out of the image folder: ", shown(value),
                    "; file names are relative to it");
  return name;
}

Segmentation to_segmentation(const json& value, const std::string& where, std::vector<std::string>& warnings) {
  check<InputError>(value.is_null() || value.is_structured(), "", where,
                    " must be null, an object with \"size\" and \"counts\", or a list of polygons; got ", shown(value));
  Segmentation segmentation;
  if (value.is_object()) segmentation.rle = to_rle(value, where);
  if (value.is_array()) segmentation.polygons = to_polygons(value, where, warnings);
  return segmentation;
}

void check_mask_size(const Rle& rle, const FrameSize& size, const std::string& where) {
  check<InputError>(rle.height == size.height && rle.width == size.width, "", where, ": mask size is [", rle.height,
                    ", ", rle.width, "], the frame's [height, width] is [", size.height, ", ", size.width, "]");
}

std::optional<Rle> to_mask(Segmentation segmentation, const FrameSize& size, const std::string& where) {
  if (segmentation.rle) {
    check_mask_size(*segmentation.rle, size, where);
    return std::move(segmentation.rle);
  }
  if (segmentation.polygons.empty()) return std::nullopt;
  return rle_from_polygons(size.height, size.width, segmentation.polygons);
}

}  // namespace visage::annotation
