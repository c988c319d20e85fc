#include "c_api/visage.h"
#include "visage/annotation/rle.h"
#include "visage/config/pipeline_options.h"
#include "visage/media/frame_name.h"
#include "visage/model/load_weights.h"
#include "visage/pipeline/class_name.h"
#include "visage/pipeline/frame_line.h"
#include "visage/pipeline/video_pipeline.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <sstream>

using namespace visage;

// What programs were compiled with. A new member goes to the end, and the sizes of earlier versions stay allowed.
static_assert(sizeof(void*) != 8 || (sizeof(visage_frame) == 32 && sizeof(visage_object) == 56));

namespace {

// One call at a time, as the precision is one of the process and every computation uses all cores.
std::mutex calls;

// Of fixed size, so that a lack of memory can be told as well.
thread_local char last_error[1024] = "";

visage_status failed(visage_status status, const char* message) {
  std::snprintf(last_error, sizeof last_error, "%s", message);
  return status;
}

// The status of fn(), whose exceptions end here.
template <class F>
visage_status guarded(F&& fn) noexcept {
  try {
    const std::lock_guard lock(calls);
    return fn();
  } catch (const UsageError& error) {
    return failed(VISAGE_ERROR_USAGE, error.what());
  } catch (const InputError& error) {
    return failed(VISAGE_ERROR_INPUT, error.what());
  } catch (const CheckpointError& error) {
    return failed(VISAGE_ERROR_CHECKPOINT, error.what());
  } catch (const DeviceError& error) {
    return failed(VISAGE_ERROR_DEVICE, error.what());
  } catch (const CudaError& error) {
    return failed(VISAGE_ERROR_DEVICE, error.what());
  } catch (const MemoryError& error) {
    return failed(VISAGE_ERROR_MEMORY, error.what());
  } catch (const std::bad_alloc&) {
    return failed(VISAGE_ERROR_MEMORY, "out of memory; use smaller frames or a smaller window");
  } catch (const std::exception& error) {
    return failed(VISAGE_ERROR_INTERNAL, error.what());
  } catch (...) {
    return failed(VISAGE_ERROR_INTERNAL, "an exception of unknown type");
  }
}

void check_pointer(const void* pointer, const char* function, const char* argument) {
  check<UsageError>(pointer != nullptr, function, ": ", argument, " is NULL");
}

template <class Struct>
void check_struct(const Struct* pointer, const char* function, const char* argument) {
  check_pointer(pointer, function, argument);
  check<UsageError>(pointer->struct_size >= sizeof(Struct), function, ": ", argument, "->struct_size is ",
                    pointer->struct_size, ", less than ", sizeof(Struct), "; set it to the sizeof of the struct");
}

struct Settings {
  Config config;
  std::string device;
  Precision precision = Precision::f32;
};

Precision parse_precision(const std::string& name) {
  for (const Precision precision : {Precision::f32, Precision::tf32, Precision::bf16})
    if (name == name_of(precision)) return precision;
  fail<UsageError>("precision: unknown name \"", name, "\"; use f32, tf32 or bf16");
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

Settings parse_settings(const char* text, const std::string& weights) {
  std::map<std::string, std::string> own{{"config", ""}, {"device", "auto"}, {"precision", "f32"}};
  std::vector<std::string> overrides;
  std::istringstream assignments(text ? text : "");
  for (std::string assignment; std::getline(assignments, assignment, ';');) {
    const auto equals = assignment.find('=');
    const auto known = own.find(trimmed(assignment.substr(0, equals)));
    if (known != own.end() && equals != std::string::npos)
      known->second = trimmed(assignment.substr(equals + 1));
    else if (std::string override = trimmed(assignment); !override.empty())
      overrides.push_back(std::move(override));
  }
  return {config::load_config(own["config"], overrides, weights), own["device"], parse_precision(own["precision"])};
}

// Frames are told one by one, and nobody asks for the whole video.
pipeline::PipelineOptions options_of(const Settings& settings) {
  pipeline::PipelineOptions options =
      config::pipeline_options(settings.config, pipeline::Plan::fast, settings.precision);
  options.assembly.result = pipeline::VideoResult::none;
  return options;
}

media::Image copy_image(const std::uint8_t* rgb, media::Size size, std::int64_t stride) {
  media::Image image(size);
  for (std::int64_t y = 0; y < size.height; ++y)
    std::copy_n(rgb + y * stride, std::size_t{3} * static_cast<std::size_t>(size.width), image.row(y));
  return image;
}

}  // namespace

struct visage_tracker {
  visage_tracker(const char* weights, const Settings& settings)
      : config_(settings.config),
        settings_(options_of(settings)),
        device_(use_device(settings.device)),
        model_(config_.model, device_) {
    load_weights(model_, weights);
    network_.emplace(model_, settings_);
    for (int label = 0; label < config_.model.detector.num_classes; ++label)
      class_names_.push_back(pipeline::class_name(config_.class_names, label));
    reset();
  }

  // Of the calls before, by another thread or with another tracker, nothing is left.
  void enter() const {
    use_device(device_);
    set_precision(settings_.precision, device_);
  }

  void reset() {
    done_.clear();
    taken_ = {};
    size_ = {};
    fed_ = 0;
    stage_ = Stage::failed;  // until there is a pipeline
    pipeline_.reset();
    pipeline_.emplace(*network_, settings_);
    stage_ = Stage::open;
  }

  void feed(const std::uint8_t* rgb, media::Size size, std::int64_t stride) {
    check_alive();
    check<UsageError>(stage_ == Stage::open,
                      "visage_feed: the video ended with visage_flush; call visage_reset before the next one");
    check<UsageError>(size.width > 0 && size.height > 0 && std::int64_t{size.width} * size.height <= media::kMaxPixels,
                      "visage_feed: a frame of ", size.width, "x", size.height, " pixels; allowed are 1 to ",
                      media::kMaxPixels);
    const std::int64_t row_bytes = std::int64_t{3} * size.width;
    check<UsageError>(stride >= row_bytes, "visage_feed: a stride of ", stride, " bytes; rows of ", size.width,
                      " RGB pixels need ", row_bytes);
    check<InputError>(fed_ == 0 || size == size_, "frame ", fed_, " is ", size.width, "x", size.height,
                      ", the frames before are ", size_.width, "x", size_.height,
                      "; all frames of a video must have one size");
    media::Frame frame{.image = copy_image(rgb, size, stride), .name = media::frame_name(fed_), .index = fed_};
    size_ = size;
    ++fed_;
    advance([&] { return pipeline_->feed(std::move(frame)); });
  }

  void flush() {
    check_alive();
    advance([&] { return pipeline_->flush(); });
    stage_ = Stage::ended;
  }

  struct Taken {
    pipeline::FrameResult frame;
    std::vector<annotation::Rle> masks;  // of its objects
    std::string json;                    // empty unless asked for
  };
  enum class Text { none, json };

  // Makes the oldest frame that is done the one taken last; null if there is none.
  const Taken* take(Text text) {
    if (done_.empty()) return nullptr;
    Taken next{.frame = done_.front(), .masks = {}, .json = {}};
    const auto& [height, width] = next.frame.size;
    for (const pipeline::TrackedObject& object : next.frame.objects)
      next.masks.push_back(annotation::encode_columns(object.mask.data(), height, width));
    if (text == Text::json)
      next.json =
          pipeline::frame_line(next.frame, next.masks, media::frame_name(next.frame.index), config_.class_names);
    taken_ = std::move(next);
    done_.pop_front();
    return &taken_;
  }

  const Taken& taken() const { return taken_; }

  // `index` as that of an object of the frame taken last.
  std::size_t checked(const char* function, std::int32_t index) const {
    check<UsageError>(index >= 0 && index < std::ssize(taken_.masks), function, ": object ", index, " of ",
                      taken_.masks.size(), " in the frame taken last");
    return static_cast<std::size_t>(index);
  }

  const char* class_name(int label) const { return class_names_.at(static_cast<std::size_t>(label)).c_str(); }

 private:
  enum class Stage { open, ended, failed };

  void check_alive() const {
    check<UsageError>(stage_ != Stage::failed, "an earlier call failed midway; call visage_reset to start over");
  }

  // What step() returns is done; if it throws, the video cannot go on.
  template <class Step>
  void advance(Step&& step) {
    const Stage stage = stage_;
    stage_ = Stage::failed;
    for (pipeline::TrackedFrame& frame : step()) done_.push_back(std::move(frame.result));
    stage_ = stage;
  }

  Config config_;
  pipeline::PipelineOptions settings_;
  Device device_;
  Model model_;
  std::vector<std::string> class_names_;
  std::optional<pipeline::Network> network_;  // of the loaded weights
  std::optional<pipeline::VideoPipeline> pipeline_;
  Stage stage_ = Stage::failed;
  media::Size size_;
  std::int64_t fed_ = 0;
  std::deque<pipeline::FrameResult> done_;
  Taken taken_;
};

namespace {

// fn() where the tracker works.
template <class F>
visage_status guarded(const visage_tracker* tracker, const char* function, F&& fn) noexcept {
  return guarded([&] {
    check_pointer(tracker, function, "tracker");
    tracker->enter();
    return fn();
  });
}

}  // namespace

const char* visage_version() { return VISAGE_VERSION; }
const char* visage_last_error() { return last_error; }

visage_status visage_create(const char* weights, const char* settings, visage_tracker** tracker) {
  return guarded([&] {
    check_pointer(weights, "visage_create", "weights");
    check_pointer(tracker, "visage_create", "tracker");
    *tracker = std::make_unique<visage_tracker>(weights, parse_settings(settings, weights)).release();
    return VISAGE_OK;
  });
}

visage_status visage_feed(visage_tracker* tracker, const uint8_t* rgb, int32_t width, int32_t height, int32_t stride) {
  return guarded(tracker, "visage_feed", [&] {
    check_pointer(rgb, "visage_feed", "rgb");
    tracker->feed(rgb, {width, height}, stride);
    return VISAGE_OK;
  });
}

visage_status visage_flush(visage_tracker* tracker) {
  return guarded(tracker, "visage_flush", [&] {
    tracker->flush();
    return VISAGE_OK;
  });
}

visage_status visage_next(visage_tracker* tracker, visage_frame* frame) {
  return guarded(tracker, "visage_next", [&] {
    check_struct(frame, "visage_next", "frame");
    const auto* const taken = tracker->take(visage_tracker::Text::none);
    if (!taken) return VISAGE_NO_FRAME;
    frame->index = taken->frame.index;
    frame->width = static_cast<std::int32_t>(taken->frame.size.width);
    frame->height = static_cast<std::int32_t>(taken->frame.size.height);
    frame->objects = static_cast<std::int32_t>(taken->masks.size());
    return VISAGE_OK;
  });
}

visage_status visage_next_json(visage_tracker* tracker, const char** json) {
  return guarded(tracker, "visage_next_json", [&] {
    check_pointer(json, "visage_next_json", "json");
    const auto* const taken = tracker->take(visage_tracker::Text::json);
    if (!taken) return VISAGE_NO_FRAME;
    *json = taken->json.c_str();
    return VISAGE_OK;
  });
}

visage_status visage_object_at(const visage_tracker* tracker, int32_t index, visage_object* object) {
  return guarded(tracker, "visage_object_at", [&] {
    check_struct(object, "visage_object_at", "object");
    const std::size_t i = tracker->checked("visage_object_at", index);
    const pipeline::TrackedObject& from = tracker->taken().frame.objects[i];
    const annotation::Rle& mask = tracker->taken().masks[i];
    const annotation::Box box = annotation::bounding_box(mask);
    object->track = from.track;
    object->label = from.label;
    object->class_name = tracker->class_name(from.label);
    object->score = from.score;
    object->x = static_cast<std::int32_t>(box.x);
    object->y = static_cast<std::int32_t>(box.y);
    object->width = static_cast<std::int32_t>(box.width);
    object->height = static_cast<std::int32_t>(box.height);
    object->area = annotation::area(mask);
    return VISAGE_OK;
  });
}

visage_status visage_mask_at(const visage_tracker* tracker, int32_t index, uint8_t* mask, int32_t stride, int32_t step,
                             uint8_t inside) {
  return guarded(tracker, "visage_mask_at", [&] {
    check_pointer(mask, "visage_mask_at", "mask");
    const std::size_t i = tracker->checked("visage_mask_at", index);
    const annotation::Rle& run_lengths = tracker->taken().masks[i];
    check<UsageError>(step >= 1 && stride >= step * run_lengths.width, "visage_mask_at: a stride of ", stride,
                      " bytes and a step of ", step, "; rows have ", run_lengths.width, " pixels");
    const std::vector<std::uint8_t> pixels = annotation::decode_rows(run_lengths);
    for (std::int64_t y = 0; y < run_lengths.height; ++y)
      for (std::int64_t x = 0; x < run_lengths.width; ++x)
        if (pixels[static_cast<std::size_t>(y * run_lengths.width + x)]) mask[y * stride + x * step] = inside;
    return VISAGE_OK;
  });
}

visage_status visage_reset(visage_tracker* tracker) {
  return guarded(tracker, "visage_reset", [&] {
    tracker->reset();
    return VISAGE_OK;
  });
}

void visage_destroy(visage_tracker* tracker) {
  if (!tracker) return;
  guarded([&] {
    const std::unique_ptr<visage_tracker> owned(tracker);  // freed wherever it worked, even if that is gone
    owned->enter();
    return VISAGE_OK;
  });
}
