#include "train/data/clip_sampler.h"

#include "tensor/error.h"

#include <algorithm>
#include <utility>

namespace visage::train {
namespace {

constexpr int64_t kAttempts = 10;  // to find a clip with an object in it

// What random numbers are drawn for; part of their key.
enum Purpose : uint64_t { kOrder, kVideo, kFrames, kGeometry, kSecondImage, kPaste };

void relabel(const std::vector<int64_t>& map, RawClip& clip) {
  if (map.empty()) return;
  std::erase_if(clip.instances, [&](const RawInstance& instance) { return map[instance.label] < 0; });
  for (RawInstance& instance : clip.instances) instance.label = map[instance.label];
}

// Leaves out the objects that no frame shows and numbers the others.
void number_objects(ClipSample& clip) {
  std::vector<int64_t> labels;
  for (size_t i = 0; i < clip.labels.size(); ++i) {
    const auto shows = [i](const FrameSample& frame) { return !frame.masks[i].empty(); };
    if (std::none_of(clip.frames.begin(), clip.frames.end(), shows)) continue;
    const size_t to = labels.size();
    labels.push_back(clip.labels[i]);
    for (FrameSample& frame : clip.frames) {
      frame.ids.push_back(frame.masks[i].empty() ? -1 : static_cast<int64_t>(to));
      if (to != i) frame.masks[to] = std::move(frame.masks[i]);
    }
  }
  for (FrameSample& frame : clip.frames) frame.masks.resize(labels.size());
  clip.labels = std::move(labels);
}

}  // namespace

void check_options(const ClipOptions& options) {
  check<UsageError>(options.frames >= 1 && options.frames <= 1000, "clips: frames must be from 1 to 1000; got ",
                    options.frames);
  check<UsageError>(options.range >= 1, "clips: range must be at least 1; got ", options.range);
  check_options(options.augment);
  if (options.copy_paste) check_options(*options.copy_paste);
}

std::string ClipSample::description() const {
  std::string text = "video " + std::to_string(video_id) + " (" + video + "), frames";
  for (const FrameSample& frame : frames) text.append(" ").append(std::to_string(frame.number));
  return text;
}

std::vector<int64_t> draw_frames(int64_t length, const ClipOptions& options, CounterRandom& random) {
  const int64_t reference = random.integer(0, length - 1);
  const int64_t first = std::max<int64_t>(0, reference - options.range);
  const int64_t last = std::min(length - 1, reference + options.range);
  std::vector<int64_t> others;
  for (int64_t f = first; f <= last; ++f)
    if (f != reference) others.push_back(f);
  if (others.empty()) return std::vector<int64_t>(options.frames, reference);

  std::vector<int64_t> frames{reference}, bag;
  while (static_cast<int64_t>(frames.size()) < options.frames) {
    if (bag.empty()) bag = others;
    const int64_t at = random.integer(0, static_cast<int64_t>(bag.size()) - 1);
    frames.push_back(bag[at]);
    if (options.replacement == Replacement::without) bag.erase(bag.begin() + at);
  }
  std::sort(frames.begin(), frames.end());
  if (options.order == FrameOrder::shuffled)
    for (size_t i = frames.size(); i-- > 1;) std::swap(frames[i], frames[random.integer(0, static_cast<int64_t>(i))]);
  return frames;
}

ClipSampler::ClipSampler(std::shared_ptr<const Dataset> dataset, ClipOptions options, uint64_t seed)
    : dataset_(std::move(dataset)), options_(std::move(options)), seed_(seed) {
  check_options(options_);
  check<UsageError>(dataset_ && dataset_->size() >= 1, "clips: the data set has no videos");
  check<UsageError>(options_.label_map.empty() || options_.label_map.size() == dataset_->classes().size(),
                    "clips: the label map has ", options_.label_map.size(), " entries, the data set has ",
                    dataset_->classes().size(), " classes");
  check<UsageError>(!options_.copy_paste || dataset_->material() == Material::images,
                    "clips: copy-paste is for images; this data set has videos");
}

ClipSample ClipSampler::sample(int64_t index) const {
  check<UsageError>(index >= 0, "clips: the index must not be negative; got ", index);
  const int64_t count = dataset_->size();
  const uint64_t epoch = CounterRandom({seed_, kOrder, static_cast<uint64_t>(index / count)}).bits();
  ClipSample clip = draw(permuted(index % count, count, epoch), index, 0);
  if (options_.empty == EmptyClips::keep) return clip;
  for (int64_t attempt = 1; clip.labels.empty() && attempt < kAttempts; ++attempt) {
    CounterRandom random({seed_, kVideo, static_cast<uint64_t>(index), static_cast<uint64_t>(attempt)});
    clip = draw(random.integer(0, count - 1), index, attempt);
  }
  return clip;
}

ClipSample ClipSampler::draw(int64_t video, int64_t index, int64_t attempt) const {
  const auto key = [&](Purpose purpose) {
    return CounterRandom({seed_, purpose, static_cast<uint64_t>(index), static_cast<uint64_t>(attempt)}).bits();
  };
  CounterRandom frame_random({key(kFrames)});
  const VideoInfo info = dataset_->info(video);
  const std::vector<int64_t> numbers = draw_frames(info.frames, options_, frame_random);
  std::vector<int64_t> distinct = numbers;  // each is decoded once
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  RawClip raw = dataset_->load(video, distinct);
  relabel(options_.label_map, raw);

  ClipSample clip{.video_id = info.id, .video = info.name, .labels = {}, .frames = {}};
  for (const RawInstance& instance : raw.instances) clip.labels.push_back(instance.label);
  const std::vector<Geometry> geometry = draw_geometry(options_.augment, info.size, options_.frames, {key(kGeometry)});
  for (size_t f = 0; f < numbers.size(); ++f) {
    const size_t from = std::lower_bound(distinct.begin(), distinct.end(), numbers[f]) - distinct.begin();
    FrameSample frame{.number = numbers[f], .image = apply(geometry[f], raw.images[from]), .ids = {}, .masks = {}};
    const std::vector<int32_t> source = source_pixels(geometry[f], info.size);
    for (const RawInstance& instance : raw.instances)
      frame.masks.push_back(instance.masks[from].empty() ? Mask() : apply(source, instance.masks[from]));
    clip.frames.push_back(std::move(frame));
  }
  if (options_.copy_paste) {
    CounterRandom random({key(kSecondImage)});
    const int64_t first_frame = 0;
    RawClip second = dataset_->load(random.integer(0, dataset_->size() - 1), {&first_frame, 1});
    relabel(options_.label_map, second);
    copy_paste(*options_.copy_paste, second, key(kPaste), clip);
  }
  number_objects(clip);
  return clip;
}

}  // namespace visage::train
