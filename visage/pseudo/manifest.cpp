#include "visage/pseudo/manifest.h"

#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/annotation/json_records.h"

#include <nlohmann/json.hpp>

#include <array>
#include <utility>

namespace visage::pseudo {
namespace {

using json = nlohmann::ordered_json;

constexpr int kVersion = 1;

constexpr std::array kModes{std::pair{"track", Mode::track}, std::pair{"swap", Mode::swap}};
constexpr std::array kSwapModes{std::pair{"derangement", SwapMode::derangement},
                                std::pair{"upstream", SwapMode::upstream}};
constexpr std::array kFormats{std::pair{"png", FrameFormat::png}, std::pair{"jpg", FrameFormat::jpg}};

template <class T, std::size_t n>
std::string word_of(const std::array<std::pair<const char*, T>, n>& words, T value) {
  for (const auto& [word, meaning] : words)
    if (meaning == value) return word;
  return "";
}

template <class T, std::size_t n>
T meaning_of(const std::array<std::pair<const char*, T>, n>& words, const json& value) {
  for (const auto& [word, meaning] : words)
    if (value == word) return meaning;
  fail<InputError>("", value.dump(), " is none of the words that can stand there");
}

json to_json(media::Size size) { return {size.width, size.height}; }
media::Size to_size(const json& value) { return {.width = value.at(0).get<int>(), .height = value.at(1).get<int>()}; }

json to_json(const VideoRecord& video) {
  json objects = json::array();
  for (const VideoRecord::Object& object : video.objects) {
    objects.push_back({{"category_id", object.category_id}, {"identity", object.identity}});
    if (object.coco) {
      objects.back()["image_id"] = object.coco->image;
      objects.back()["annotation_id"] = object.coco->annotation;
    }
  }
  json record{{"size", to_json(video.size)}, {"background", video.background}, {"objects", objects}};
  if (video.swap_frame) record["swap_frame"] = *video.swap_frame;
  record["permutation"] = video.permutation;
  return record;
}

VideoRecord to_record(const json& value) {
  VideoRecord video{.size = to_size(value.at("size")),
                    .background = value.at("background").get<std::string>(),
                    .objects = {},
                    .swap_frame = {},
                    .permutation = value.at("permutation").get<std::vector<int64_t>>()};
  for (const json& object : value.at("objects")) {
    video.objects.push_back({.category_id = object.at("category_id").get<int64_t>(),
                             .identity = object.at("identity").get<std::string>(),
                             .coco = {}});
    if (object.contains("annotation_id"))
      video.objects.back().coco = CocoId{.image = object.at("image_id").get<int64_t>(),
                                         .annotation = object.at("annotation_id").get<int64_t>()};
  }
  if (value.contains("swap_frame")) video.swap_frame = value.at("swap_frame").get<int64_t>();
  return video;
}

json head_of(const Manifest& manifest) {
  const PseudoOptions& o = manifest.options;
  json head{{"visage_pseudo_manifest", kVersion},
            {"mode", word_of(kModes, o.mode)},
            {"swap_mode", word_of(kSwapModes, o.swap_mode)},
            {"seed", o.seed},
            {"frames", o.frames},
            {"size", o.frame_size == FrameSize::upstream ? json("upstream") : to_json(o.size)},
            {"least_objects", o.least_objects},
            {"most_objects", o.most_objects},
            {"curve_frames", o.curve_frames},
            {"objects", manifest.classes.empty() ? json("procedural") : json{{"coco", manifest.classes}}},
            {"backgrounds", manifest.pictures ? "images" : "procedural"},
            {"format", word_of(kFormats, manifest.format)},
            {"clip_fps", manifest.clip_fps ? json(*manifest.clip_fps) : json()}};
  return head;
}

Manifest to_manifest(const json& all) {
  check<InputError>(all.at("visage_pseudo_manifest") == kVersion, "it is of version ",
                    all.at("visage_pseudo_manifest").dump(), "; this program reads version ", kVersion);
  Manifest manifest;
  PseudoOptions& o = manifest.options;
  o.mode = meaning_of(kModes, all.at("mode"));
  o.swap_mode = meaning_of(kSwapModes, all.at("swap_mode"));
  o.seed = all.at("seed").get<uint64_t>();
  o.frames = all.at("frames").get<int64_t>();
  if (all.at("size") == "upstream")
    o.frame_size = FrameSize::upstream;
  else
    o.size = to_size(all.at("size"));
  o.least_objects = all.at("least_objects").get<int64_t>();
  o.most_objects = all.at("most_objects").get<int64_t>();
  o.curve_frames = all.at("curve_frames").get<int64_t>();
  if (all.at("objects") != "procedural") manifest.classes = all.at("objects").at("coco").get<std::string>();
  manifest.pictures = all.at("backgrounds") == "images";
  manifest.format = meaning_of(kFormats, all.at("format"));
  if (!all.at("clip_fps").is_null()) manifest.clip_fps = all.at("clip_fps").get<double>();
  for (const json& video : all.at("videos")) manifest.videos.push_back(to_record(video));
  check<InputError>(!manifest.videos.empty(), "it lists no video");
  return manifest;
}

}  // namespace

VideoRecord record_of(const PseudoVideo& video) {
  VideoRecord record{.size = video.size(),
                     .background = video.background_name(),
                     .objects = {},
                     .swap_frame = video.swap_frame(),
                     .permutation = video.permutation()};
  for (const Sprite& sprite : video.objects())
    record.objects.push_back({.category_id = sprite.category_id, .identity = sprite.identity, .coco = sprite.coco});
  return record;
}

void write_manifest(const std::string& path, const Manifest& manifest) {
  std::string text = head_of(manifest).dump(1);
  text.resize(text.rfind('\n'));
  text += ",\n \"videos\": [";
  for (size_t i = 0; i < manifest.videos.size(); ++i)
    text += (i ? ",\n  " : "\n  ") + to_json(manifest.videos[i]).dump();
  files::write_file(path, text + "\n ]\n}\n");
}

Manifest read_manifest(const std::string& path) {
  const std::string text = annotation::read_text(path);
  try {
    return to_manifest(json::parse(text));
  } catch (const json::exception& error) {
    fail<InputError>("", path, ": is no manifest of visage pseudo (", error.what(), ")");
  } catch (const InputError& error) {
    fail<InputError>("", path, ": ", error.what());
  }
}

std::vector<Sprite> RecordedObjects::draw(int64_t count, media::Size, Random& random) const {
  (void)random.bits();
  check<InputError>(count == static_cast<int64_t>(record_.objects.size()), "a video of the manifest has ",
                    record_.objects.size(), " objects; its options and seed give ", count);
  std::vector<Sprite> sprites;
  for (const VideoRecord::Object& object : record_.objects) {
    check<InputError>(object.coco.has_value(), "an object of the manifest has no annotation_id");
    sprites.push_back(source_.cut_out(object.coco->annotation));
  }
  return sprites;
}

Background RecordedBackgrounds::draw(media::Size frame, Random& random) const {
  (void)random.bits();
  return source_.load(record_.background, frame);
}

}  // namespace visage::pseudo
