#include "visage/annotation/ytvis_writer.h"

#include "visage/annotation/json_writer.h"

namespace visage::annotation {

struct YtvisWriter::Output : JsonWriter {
  using JsonWriter::JsonWriter;

  // One list entry a frame, null where there is nothing.
  template <class Values, class Write>
  void frame_list(const char* key, const Values& values, Write write) {
    text(",\n  \"").text(key).text("\":[");
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) text(",");
      if (values[i]) {
        write(*values[i]);
      } else {
        text("null");
      }
    }
    text("]");
  }
};

YtvisWriter::YtvisWriter(std::string path, std::string_view description, std::span<const Category> categories)
    : out_(std::make_unique<Output>(std::move(path))) {
  out_->text("{\"info\":{\"description\":").string(description).text("},\n\"categories\":[");
  for (size_t i = 0; i < categories.size(); ++i) {
    out_->text(i ? ",\n " : "\n ").text("{\"id\":").integer(categories[i].id).text(",\"name\":");
    out_->string(categories[i].name).text(",\"supercategory\":").string(categories[i].supercategory).text("}");
  }
  out_->text("],\n\"annotations\":[");
}

YtvisWriter::~YtvisWriter() = default;

void YtvisWriter::add_video(Video video) { videos_.push_back(std::move(video)); }

void YtvisWriter::add_annotation(const TrackAnnotation& annotation) {
  Output& out = *out_;
  out.text(first_annotation_ ? "\n " : ",\n ").text("{\"id\":").integer(annotation.id);
  first_annotation_ = false;
  out.text(",\"video_id\":").integer(annotation.video_id);
  out.text(",\"category_id\":").integer(annotation.category_id);
  out.text(",\"iscrowd\":").integer(annotation.is_crowd);
  out.frame_list("segmentations", annotation.masks,
                 [&](const Rle& mask) { out.mask(mask.height, mask.width, to_string(mask)); });
  out.frame_list("bboxes", annotation.boxes, [&](const Box& box) {
    out.text("[").number(box.x).text(",").number(box.y).text(",");
    out.number(box.width).text(",").number(box.height).text("]");
  });
  out.frame_list("areas", annotation.areas, [&](double area) { out.number(area); });
  out.text("}");
}

void YtvisWriter::close() {
  out_->text("],\n\"videos\":[");
  for (size_t i = 0; i < videos_.size(); ++i) {
    const Video& video = videos_[i];
    out_->text(i ? ",\n " : "\n ").text("{\"id\":").integer(video.id);
    out_->text(",\"height\":").integer(video.height).text(",\"width\":").integer(video.width);
    out_->text(",\"length\":").integer(video.length()).text(",\"file_names\":[");
    for (size_t frame = 0; frame < video.file_names.size(); ++frame) {
      out_->text(frame ? "," : "").string(video.file_names[frame]);
    }
    out_->text("]}");
  }
  out_->text("]}\n");
  out_->close();
}

}  // namespace visage::annotation
