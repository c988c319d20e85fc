#include "cli/demo_page.h"

#include "cli/run_record.h"
#include "cli/version.h"
#include "tensor/cpu/parallel.h"
#include "tensor/files.h"
#include "visage/media/markup.h"
#include "visage/media/png.h"
#include "visage/media/resize.h"
#include "visage/media/track_color.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <string_view>

namespace visage::cli {
namespace {

constexpr const char* kStyle = R"(
:root{--ink:#1c2330;--soft:#5d6778;--line:#e2e6ee;--paper:#fff;--ground:#f5f7fa;--accent:#3558d6;--good:#197a3e;--bad:#b3261e;--warn:#fff4d6;--warnline:#e8b93a}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf2;--soft:#9aa5b8;--line:#2c3444;--paper:#171c26;--ground:#0f131a;--accent:#8aa4ff;--good:#66d08f;--bad:#ff8a80;--warn:#3a3014;--warnline:#a8842a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:34px;margin:0 0 4px;letter-spacing:-.02em}h2{font-size:20px;margin:0 0 12px}
p{margin:0 0 12px}.lead{color:var(--soft);font-size:18px;margin-bottom:24px}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:24px;margin-top:20px}
.warn{background:var(--warn);border-color:var(--warnline)}.warn p{margin:0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:20px}
.figure{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:14px 18px}
.figure b{display:block;font-size:26px;font-variant-numeric:tabular-nums}.figure span{color:var(--soft);font-size:14px}
.scroll{overflow-x:auto}.strip{border-collapse:separate;border-spacing:6px 4px;margin:0 -6px}
.runs{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:28px;margin-bottom:20px}
h3{font-size:16px;margin:0 0 8px}.good{color:var(--good)}.bad{color:var(--bad)}
.timeline{width:100%;max-width:720px;height:auto;font-size:13px}.timeline text{fill:var(--ink)}.timeline .swap{fill:var(--accent);font-weight:600}
.timeline line{stroke:var(--accent);stroke-width:2}.timeline .lost{fill:none;stroke:var(--line)}
.strip img{display:block;width:138px;border-radius:6px;image-rendering:auto}
.strip th{font-weight:600;font-size:13px;text-align:left;color:var(--soft);white-space:nowrap}
.strip .head{position:sticky;left:0;background:var(--paper);padding-right:10px;vertical-align:middle;max-width:110px;white-space:normal}
.strip .swap{color:var(--accent)}
video,.clip{display:block;width:100%;max-width:720px;border-radius:8px;margin-bottom:10px}
table.data{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
.data th{font-size:13px;color:var(--soft);text-align:left;font-weight:600;border-bottom:1px solid var(--line);padding:6px 10px 6px 0}
.data td{border-bottom:1px solid var(--line);padding:7px 10px 7px 0;vertical-align:top}.data .n{text-align:right}
.bar{height:8px;border-radius:4px;background:var(--accent);min-width:1px}.barcell{width:22%}
.small{color:var(--soft);font-size:14px}
pre{background:var(--ground);border:1px solid var(--line);border-radius:8px;padding:12px 14px;overflow-x:auto;margin:6px 0 14px;font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
code{font:13px ui-monospace,Menlo,Consolas,monospace}
footer{color:var(--soft);font-size:14px;margin-top:24px}
)";

struct StageMeaning {
  const char* name;
  const char* text;
};
constexpr StageMeaning kStages[] = {
    {"decode", "reading the frame from its file"},
    {"preprocess", "resizing and normalising"},
    {"backbone", "ResNet: image features at four scales"},
    {"pixel decoder", "multi-scale deformable attention over the features"},
    {"masked decoder", "the queries look for objects; each gets a class and a mask"},
    {"appearance", "what each found object looks like"},
    {"tracker", "which object is which of the frames before: memory, similarity, assignment"},
    {"masks", "masks at the size of the video"},
    {"run lengths", "packing the masks"},
    {"write output", "tracks.jsonl and the overlay clip"},
    {"write results", "results.json"},
};

// RFC 4648.
std::string base64(const std::string& bytes) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? kDigits[group >> (18 - 6 * k) & 63u] : '=';
  }
  return out;
}

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  check<InputError>(file.good(), "cannot read ", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string fixed(double value, int digits) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string color_of(int id) {
  const auto color = media::track_color(id);
  char text[16];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", color[0], color[1], color[2]);
  return text;
}

// The frames of a strip: the ends, those around the swap, and some between.
std::vector<std::size_t> strip_frames(const DemoClip& clip) {
  const std::size_t last = clip.inputs.size() - 1;
  std::set<std::size_t> chosen = {0, last};
  if (clip.swap_frame) {
    const auto swap = static_cast<std::size_t>(*clip.swap_frame);
    chosen.insert({swap / 2, swap - 1, swap, (swap + last) / 2});
  } else {
    for (std::size_t i = 1; i < 5; ++i) chosen.insert(last * i / 5);
  }
  return {chosen.begin(), chosen.end()};
}

// The commonest track in frames [begin, end).
int usual_track(std::span<const int> ids, std::int64_t begin, std::int64_t end) {
  std::map<int, int> frames;
  for (std::int64_t t = begin; t < end; ++t)
    if (ids[t] >= 0) ++frames[ids[t]];
  int usual = kLost, most = 0;
  for (const auto& [track, count] : frames)
    if (count > most) usual = track, most = count;
  return usual;
}

class PageWriter {
 public:
  explicit PageWriter(const DemoPage& page) : page_(page) {}

  std::string html() {
    out_ << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>VISAGE demo</title><style>"
         << kStyle << "</style></head><body><main>\n";
    head();
    figures();
    for (const DemoClip& shown : page_.clips) clip(shown);
    stages();
    next();
    out_ << "<footer>visage " << kVersion << " &middot; " << kFeatures << " &middot; "
         << media::escaped_markup(cpu_name()) << ", " << cpu::num_threads()
         << " threads</footer></main></body></html>\n";
    return out_.str();
  }

 private:
  const DemoRun& first_run() const { return page_.clips.front().runs.front(); }
  bool test_weights() const { return !first_run().command.weights.test_weights.empty(); }

  std::int64_t total_frames() const {
    std::int64_t frames = 0;
    for (const DemoClip& clip : page_.clips)
      for (const DemoRun& run : clip.runs) frames += run.summary.frames;
    return frames;
  }

  void head() {
    out_ << "<h1>VISAGE demo</h1><p class=\"lead\">Two synthetic clips, made and tracked a moment ago on this "
            "machine.</p>\n";
    if (test_weights())
      out_ << "<section class=\"warn\"><p><strong>The masks, classes and tracks below are meaningless.</strong> The "
              "network is the full one, but it ran with deterministic test weights, which have learned nothing. What "
              "you see is that everything runs, and how fast; give trained weights with <code>--weights</code> to see "
              "it track.</p></section>\n";
  }

  void figure(const std::string& value, const std::string& text) {
    out_ << "<div class=\"figure\"><b>" << value << "</b><span>" << text << "</span></div>";
  }

  void figures() {
    std::vector<double> latencies;
    double seconds = 0;
    for (const DemoClip& clip : page_.clips)
      for (const DemoRun& run : clip.runs) {
        latencies.insert(latencies.end(), run.summary.latencies.begin(), run.summary.latencies.end());
        seconds += run.summary.seconds;
      }
    out_ << "<div class=\"figures\">";
    figure(std::to_string(total_frames()), "frames tracked");
    figure(fixed(static_cast<double>(total_frames()) / seconds, 1), "frames a second, with all output");
    figure(fixed(1e3 * percentile(latencies, 0.5), 0) + " ms", "latency of a frame, median");
    figure(fixed(1e3 * percentile(latencies, 0.9), 0) + " ms", "latency, 90 % are below");
    out_ << "</div>\n";
  }

  void clip(const DemoClip& clip) {
    out_ << "<section><h2>" << clip.title << "</h2><p>" << clip.text << "</p><div class=\"runs\">";
    for (const DemoRun& run : clip.runs) {
      out_ << "<div>";
      const std::int64_t kept = objects_kept(clip, run);
      const auto objects = static_cast<std::int64_t>(clip.objects.size());
      out_ << "<h3>" << run.title << "</h3>";
      overlay(run);
      if (!test_weights())
        out_ << "<p><strong class=\"" << (kept == objects ? "good" : "bad") << "\">" << kept << " of " << objects
             << " objects</strong> keep their track" << (clip.swap_frame ? " through the exchange" : "") << ".</p>";
      timeline(clip, run);
      out_ << "</div>";
    }
    out_ << "</div>";
    strips(clip);
    out_ << "</section>\n";
  }

  void overlay(const DemoRun& run) {
    if (run.overlay_file.empty()) return;
    const std::string data = base64(read_bytes(run.overlay_file));
    if (run.overlay_file.ends_with(".mp4"))
      out_ << "<video controls autoplay loop muted playsinline src=\"data:video/mp4;base64," << data << "\"></video>";
    else
      out_ << "<img class=\"clip\" alt=\"tracked clip\" src=\"data:image/gif;base64," << data << "\">";
  }

  // A row an object, a cell a frame in the colour of the track on it.
  void timeline(const DemoClip& clip, const DemoRun& run) {
    constexpr int kCell = 12, kRow = 24, kNames = 170, kTop = 18;
    const auto frames = static_cast<int>(clip.inputs.size()), objects = static_cast<int>(clip.objects.size());
    const int width = kNames + frames * kCell, height = kTop + objects * kRow;
    out_ << "<svg class=\"timeline\" viewBox=\"0 0 " << width << ' ' << height
         << "\" role=\"img\" aria-label=\"track of "
         << "every object in every frame\">";
    for (int i = 0; i < objects; ++i) {
      out_ << "<text x=\"0\" y=\"" << kTop + i * kRow + 14 << "\">" << media::escaped_markup(clip.objects[i])
           << "</text>";
      for (int t = 0; t < frames; ++t) {
        const int id = run.ids[i][t];
        if (id == kHidden) continue;
        out_ << "<rect x=\"" << kNames + t * kCell << "\" y=\"" << kTop + i * kRow << "\" width=\"" << kCell
             << "\" height=\"" << kRow - 4 << "\" "
             << (id == kLost ? "class=\"lost\"" : "fill=\"" + color_of(id) + "\"") << "><title>frame " << t << ": "
             << (id == kLost ? "no track" : "track " + std::to_string(id)) << "</title></rect>";
      }
    }
    if (clip.swap_frame) {
      const auto x = kNames + *clip.swap_frame * kCell;
      out_ << "<line x1=\"" << x << "\" x2=\"" << x << "\" y1=\"4\" y2=\"" << height << "\"/><text class=\"swap\" x=\""
           << x + 4 << "\" y=\"12\">paths exchanged</text>";
    }
    out_ << "</svg>";
  }

  void strip(const std::string& title, const DemoClip& clip, const std::vector<media::Image>& images) {
    out_ << "<tr><th class=\"head\">" << title << "</th>";
    for (const std::size_t t : strip_frames(clip)) {
      const media::Size size = images[t].size();
      constexpr int kWidth = 280;
      const media::Image image =
          size.width <= kWidth ? images[t]
                               : media::resize(images[t], {kWidth, std::max(1, kWidth * size.height / size.width)});
      out_ << "<td><img alt=\"" << title << "\" src=\"data:image/png;base64," << base64(media::encode_png(image))
           << "\"></td>";
    }
    out_ << "</tr>\n";
  }

  void strips(const DemoClip& clip) {
    out_ << "<div class=\"scroll\"><table class=\"strip\"><tr><th class=\"head\"></th>";
    for (const std::size_t t : strip_frames(clip)) {
      const bool swap = clip.swap_frame == static_cast<std::int64_t>(t);
      out_ << "<th" << (swap ? " class=\"swap\"" : "") << ">frame " << t << (swap ? ": exchanged" : "") << "</th>";
    }
    out_ << "</tr>\n";
    strip("Input", clip, clip.inputs);
    strip("Truth", clip, clip.truths);
    for (const DemoRun& run : clip.runs) strip(run.title, clip, run.masks);
    out_
        << "</table></div><p class=\"small\">Truth: one colour an object, as drawn. A good tracker keeps one colour on "
           "each object; the colours themselves may differ from those of the truth.</p>";
  }

  // Of all runs together.
  std::vector<StageTime> stage_sums() const {
    std::vector<StageTime> sums;
    for (const DemoClip& clip : page_.clips)
      for (const DemoRun& run : clip.runs)
        for (const StageTime& stage : run.stages) {
          auto sum = std::find_if(sums.begin(), sums.end(), [&](const StageTime& s) { return s.name == stage.name; });
          if (sum == sums.end()) sum = sums.insert(sums.end(), {.name = stage.name});
          sum->wall_seconds += stage.wall_seconds;
          sum->cpu_seconds += stage.cpu_seconds;
        }
    return sums;
  }

  void stages() {
    const std::vector<StageTime> times = stage_sums();
    const auto frames = static_cast<double>(total_frames());
    double longest = 0;
    for (const StageTime& stage : times) longest = std::max(longest, stage.wall_seconds);
    out_ << "<section><h2>Where the time goes</h2><table class=\"data\"><tr><th>stage</th><th></th><th "
            "class=\"barcell\"></th><th class=\"n\">ms a frame</th><th class=\"n\">CPU ms a frame</th></tr>";
    for (const StageTime& stage : times) {
      const char* meaning = "";
      for (const StageMeaning& known : kStages)
        if (stage.name == known.name) meaning = known.text;
      out_ << "<tr><td>" << media::escaped_markup(stage.name) << "</td><td class=\"small\">" << meaning
           << "</td><td class=\"barcell\"><div class=\"bar\" style=\"width:"
           << fixed(longest > 0 ? 100 * stage.wall_seconds / longest : 0, 1) << "%\"></div></td><td class=\"n\">"
           << fixed(1e3 * stage.wall_seconds / frames, 2) << "</td><td class=\"n\">"
           << fixed(1e3 * stage.cpu_seconds / frames, 2) << "</td></tr>";
    }
    out_ << "</table><p class=\"small\">Wall-clock time and CPU time of all threads, divided by the number of frames; "
            "the first frame of a clip also prepares the weights. Latency is the time from a frame's arrival to its "
            "result.</p></section>\n";
  }

  void next() {
    const TrackCommand& run = first_run().command;
    std::string model = test_weights() ? "--test-weights public" : "--weights " + run.weights.file;
    if (!run.config.empty()) model += " --config " + run.config;
    const auto command = [this](const char* text, const std::string& line) {
      out_ << "<p>" << text << "</p><pre>" << media::escaped_markup(line) << "</pre>";
    };
    out_ << "<section><h2>What to try next</h2>";
    command("Another pair of clips:", "visage demo " + (test_weights() ? "" : model) + " --seed 7 --output demo2");
    command("Track a video of your own:", "visage track clip.mp4 --weights model.pth --output out");
    command("A set of synthetic videos, and the score of a model on it:",
            "visage pseudo --videos 20 --mode swap --output pseudo\nvisage eval --data pseudo/swap " + model);
    command("Train a model:", "visage train --config configs/synthetic_small.toml --output runs/small");
    out_ << "<p class=\"small\">The files of this run are beside this page: <code>clips/</code> (frames and "
            "annotations) and <code>tracks/</code> (";
    const auto& files = first_run().summary.files;
    for (std::size_t i = 0; i < files.size(); ++i)
      out_ << (i ? ", " : "") << "<code>" << media::escaped_markup(files[i]) << "</code>";
    out_ << ").</p></section>\n";
  }

  const DemoPage& page_;
  std::ostringstream out_;
};

}  // namespace

std::int64_t objects_kept(const DemoClip& clip, const DemoRun& run) {
  const auto frames = static_cast<std::int64_t>(clip.inputs.size());
  const std::int64_t middle = clip.swap_frame.value_or(frames / 2);
  return std::count_if(run.ids.begin(), run.ids.end(), [&](const std::vector<int>& ids) {
    const int before = usual_track(ids, 0, middle);
    return before != kLost && before == usual_track(ids, middle, frames);
  });
}

void write_demo_page(const std::string& path, const DemoPage& page) {
  PageWriter writer(page);
  files::AtomicFile file(path);
  file.write(writer.html());
  file.commit();
}

}  // namespace visage::cli
