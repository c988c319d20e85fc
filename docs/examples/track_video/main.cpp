// track_video WEIGHTS VIDEO [CONFIG]: prints every tracked object of every frame of a video file or image folder.
#include "visage/config/pipeline_options.h"
#include "visage/media/frame_source.h"
#include "visage/model/load_weights.h"
#include "visage/pipeline/video_pipeline.h"

#include <cstdio>
#include <exception>
#include <vector>

using namespace visage;

static void print(const std::vector<pipeline::TrackedFrame>& frames) {
  for (const auto& [frame, result] : frames)
    for (const pipeline::TrackedObject& object : result.objects)
      std::printf("%s track %d class %d score %.3f\n", frame.name.c_str(), object.track, object.label, object.score);
}

int main(int argc, char** argv) try {
  if (argc < 3) return std::fprintf(stderr, "use: track_video WEIGHTS VIDEO [CONFIG]\n"), 2;
  const Config config = config::load_config(argc > 3 ? argv[3] : "", {}, argv[1]);
  Model model(config.model);
  load_weights(model, argv[1]);

  const auto video = media::open_source({.path = argv[2]});
  pipeline::VideoPipeline tracks(model, config::pipeline_options(config, pipeline::Plan::fast, Precision::f32));
  while (auto frame = video->next()) print(tracks.feed(std::move(*frame)));
  print(tracks.flush());
  tracks.for_each_track([](const pipeline::VideoTrack& track) {
    std::printf("whole video: track %d class %d score %.3f\n", track.scored.track, track.scored.label,
                track.scored.score);
  });
} catch (const std::exception& error) {
  return std::fprintf(stderr, "track_video: %s\n", error.what()), 1;
}
