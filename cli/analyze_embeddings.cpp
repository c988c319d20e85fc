#include "cli/analyze.h"
#include "cli/interrupt.h"
#include "cli/table.h"
#include "cli/track.h"
#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/evaluation/track_video.h"
#include "visage/experiments/scatter_plot.h"
#include "visage/experiments/separation.h"
#include "visage/experiments/sighting.h"
#include "visage/media/markup.h"
#include "visage/media/png.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <ostream>

namespace visage::cli {
namespace {

using experiments::ObjectRows;
using experiments::Panel;
using experiments::Separation;

constexpr const char* kFootnote =
    "A point is an object in a frame, its colour the object; the embeddings are those of the query that shows it. "
    "Silhouette: 1 when objects of a video lie apart, 0 when mixed, below 0 when confused. Same object nearer: how "
    "often two sightings of one object are more similar than sightings of two objects of the video, in percent; 50 is "
    "chance. Similarity is the cosine, as in the tracker.";

struct Kind {
  const char* name;
  const Tensor& (*tensor)(const experiments::Sighting& sighting);
};
constexpr std::array<Kind, 3> kKinds = {{
    {"decoder query", [](const experiments::Sighting& s) -> const Tensor& { return s.queries.decoder; }},
    {"object embedding", [](const experiments::Sighting& s) -> const Tensor& { return s.queries.object; }},
    {"appearance embedding", [](const experiments::Sighting& s) -> const Tensor& { return s.queries.appearance; }},
}};

// The embeddings of all objects that were found, frame by frame.
struct Collection {
  std::array<ObjectRows, kKinds.size()> kinds;
  std::vector<std::string> labels;  // a row
  int objects = 0, videos = 0;

  std::int64_t rows() const { return std::ssize(labels); }
};

void add_video(const EmbeddingsCommand& command, const Experiment& experiment, const EvaluationSet& set,
               const annotation::Video& video, const std::function<void(std::int64_t)>& after_frame,
               Collection& points) {
  std::vector<const annotation::TrackAnnotation*> objects;
  for (const annotation::TrackAnnotation& track : set.dataset.annotations)
    if (track.video_id == video.id && !track.is_crowd) objects.push_back(&track);
  const pipeline::FrameVisitor add = [&](const media::Frame& frame, const pipeline::QueryFrame& queries) {
    std::vector<std::optional<annotation::Rle>> truth;
    for (const annotation::TrackAnnotation* object : objects)
      truth.push_back(object->masks[static_cast<std::size_t>(frame.index)]);
    const experiments::Sighting sighting = experiments::sight(queries, truth);
    for (std::size_t object = 0; object < objects.size(); ++object) {
      const int query = sighting.query_of_object[object];
      if (query < 0 || points.rows() == command.points) continue;
      for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
        const Tensor& rows = kKinds[kind].tensor(sighting);
        points.kinds[kind].depth = rows.size(1);
        points.kinds[kind].add(rows.data<float>() + query * rows.size(1), points.objects + static_cast<int>(object),
                               points.videos);
      }
      points.labels.push_back("video " + std::to_string(video.id) + ", object " + std::to_string(objects[object]->id) +
                              ", frame " + std::to_string(frame.index));
    }
  };
  pipeline::FrameDetector frames(experiment.detector(), experiment.options().detection());
  for (std::int64_t t = 0; t < video.length() && points.rows() < command.points; ++t) {
    frames.feed(evaluation::read_frame(video, set.images, t), add);
    after_frame(t + 1);
  }
  frames.flush(add);
  points.objects += static_cast<int>(objects.size());
  ++points.videos;
}

Collection collect(const EmbeddingsCommand& command, const Experiment& experiment) {
  Collection points;
  const Interrupt interrupt;
  Progress progress(experiment.sets().frames(), command.experiment.verbosity);
  std::int64_t done = 0;
  for (const EvaluationSet& set : experiment.sets().sets()) {
    for (const annotation::Video& video : set.dataset.videos) {
      if (points.rows() == command.points) return points;
      add_video(
          command, experiment, set, video,
          [&](std::int64_t frames) {
            check<Interrupted>(!interrupt.requested(), "interrupted; nothing was written");
            progress.update(done + frames);
          },
          points);
      done += video.length();
    }
  }
  return points;
}

std::string silhouette_text(const Separation& separation) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", separation.silhouette);
  return text;
}

std::vector<Panel> panels_of(const EmbeddingsCommand& command, const Collection& points,
                             const std::vector<Separation>& separations) {
  experiments::TsneOptions options = command.tsne;
  options.perplexity = std::min(options.perplexity, static_cast<double>(points.rows() - 1) / 3);
  std::vector<Panel> panels;
  for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
    const ObjectRows& rows = points.kinds[kind];
    Panel panel{kKinds[kind].name,
                "silhouette " + silhouette_text(separations[kind]) + ", same object nearer " +
                    percent_text(separations[kind].ordered) + " %",
                {}};
    const auto places = experiments::tsne(rows.values, rows.depth, options);
    for (std::size_t i = 0; i < places.size(); ++i)
      panel.marks.push_back({places[i][0], places[i][1], rows.object[i], points.labels[i]});
    panels.push_back(std::move(panel));
  }
  return panels;
}

std::string page(const std::vector<Panel>& panels, const std::string& measured) {
  return "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Embeddings of objects</title>\n"
         "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:1240px;margin:32px auto;padding:0 20px;"
         "color:#1c2330;background:#fff}svg{width:100%;height:auto}p{color:#5d6778}</style>\n"
         "<h1>Embeddings of objects, by t-SNE</h1>\n" +
         experiments::panels_svg(panels) + "<p>" + media::escaped_markup(kFootnote) + "</p>\n<p>" +
         media::escaped_markup(measured) + "</p>\n</html>\n";
}

}  // namespace

void run_embeddings(const EmbeddingsCommand& command, std::ostream& out) {
  constexpr std::int64_t kLeast = 10, kMost = 5000;
  check<UsageError>(command.points >= kLeast && command.points <= kMost, "--points: must be ", kLeast, " to ", kMost,
                    ", for the time of t-SNE grows with the square; got ", command.points);
  std::unique_ptr<files::AtomicFile> html, png;
  if (!command.html.empty()) html = std::make_unique<files::AtomicFile>(command.html);
  if (!command.png.empty()) png = std::make_unique<files::AtomicFile>(command.png);
  std::optional<MarkdownSection> markdown;
  if (!command.markdown.empty()) markdown.emplace(command.markdown, "visage analyze embeddings");

  constexpr pseudo::Mode kModes[] = {pseudo::Mode::swap};
  const Experiment experiment(command.experiment, kModes);
  const Collection points = collect(command, experiment);
  check<InputError>(points.rows() >= kLeast, "the model finds annotated objects in ", points.rows(),
                    " frames only, too few to compare; use weights that find the objects of this data");

  Table table{
      .title = "Fig. 4: embeddings of objects", .headings = {"", "silhouette", "same object nearer"}, .rows = {}};
  std::vector<Separation> separations;
  for (std::size_t kind = 0; kind < kKinds.size(); ++kind) {
    separations.push_back(experiments::separation_of(points.kinds[kind]));
    table.rows.push_back(
        {kKinds[kind].name, silhouette_text(separations[kind]), percent_text(separations[kind].ordered)});
  }
  const std::string measured = experiment.conditions() + " " + std::to_string(points.rows()) + " points, from " +
                               std::to_string(points.videos) + (points.videos == 1 ? " video." : " videos.");
  out << measured << "\n\n";
  table.print(out);
  out << "\n" << kFootnote << "\n";
  if (markdown) markdown->write(measured + "\n\n" + kFootnote + "\n\n" + table.markdown());
  if (!html && !png) return;
  const std::vector<Panel> panels = panels_of(command, points, separations);
  if (html) {
    html->write(page(panels, measured));
    html->commit();
  }
  if (png) {
    png->write(media::encode_png(experiments::draw_panels(panels)));
    png->commit();
  }
}

}  // namespace visage::cli
