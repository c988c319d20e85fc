#include "cli/demo_page.h"

#include "cli/run_record.h"
#include "cli/version.h"
#include "tensor/cpu/parallel.h"
#include "tensor/files.h"
#include "tensor/stage_timer.h"
#include "visage/media/png.h"
#include "visage/media/track_color.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

namespace visage::cli {
namespace {

constexpr const char* kStyle = R"(
:root{--ink:#1c2330;--soft:#5d6778;--line:#e2e6ee;--paper:#fff;--ground:#f5f7fa;--accent:#3558d6;--warn:#fff4d6;--warnline:#e8b93a}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf2;--soft:#9aa5b8;--line:#2c3444;--paper:#171c26;--ground:#0f131a;--accent:#8aa4ff;--warn:#3a3014;--warnline:#a8842a}}
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
.strip img{display:block;width:220px;border-radius:6px;image-rendering:auto}
.strip th{font-weight:600;font-size:13px;text-align:left;color:var(--soft);white-space:nowrap}
.strip .head{position:sticky;left:0;background:var(--paper);padding-right:10px;vertical-align:middle;max-width:130px;white-space:normal}
.strip .swap{color:var(--accent)}
video,.clip{display:block;width:100%;max-width:720px;border-radius:8px}
table.data{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
.data th{font-size:13px;color:var(--soft);text-align:left;font-weight:600;border-bottom:1px solid var(--line);padding:6px 10px 6px 0}
.data td{border-bottom:1px solid var(--line);padding:7px 10px 7px 0;vertical-align:top}.data .n{text-align:right}
.bar{height:8px;border-radius:4px;background:var(--accent);min-width:1px}.barcell{width:22%}
.dot{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:8px}
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

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

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

class PageWriter {
 public:
  explicit PageWriter(const DemoPage& page) : page_(page) {}

  std::string html() {
    out_ << "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>VISAGE demo</title><style>"
         << kStyle << "</style></head><body><main>\n";
    head();
    figures();
    strips();
    clip();
    tracks();
    stages();
    next();
    out_ << "<footer>visage " << kVersion << " &middot; " << kFeatures << " &middot; " << escaped(cpu_name()) << ", "
         << cpu::num_threads() << " threads</footer></main></body></html>\n";
    return out_.str();
  }

 private:
  bool test_weights() const { return !page_.command.weights.test_weights.empty(); }
  double per_frame(double seconds) const { return 1e3 * seconds / static_cast<double>(page_.summary.frames); }

  void head() {
    out_ << "<h1>VISAGE demo</h1><p class=\"lead\">A synthetic clip in which " << page_.objects.size()
         << " objects exchange their paths, and what the tracker made of it.</p>\n";
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
    const TrackSummary& run = page_.summary;
    out_ << "<div class=\"figures\">";
    figure(std::to_string(run.frames), "frames");
    figure(fixed(static_cast<double>(run.frames) / run.seconds, 2), "frames a second, with all output");
    figure(fixed(1e3 * percentile(run.latencies, 0.5), 0) + " ms", "latency of a frame, median");
    figure(fixed(1e3 * percentile(run.latencies, 0.9), 0) + " ms", "latency, 90 % are below");
    figure(fixed(1e3 * percentile(run.latencies, 1), 0) + " ms", "latency, longest (mostly the first frame)");
    out_ << "</div>\n";
  }

  void strip(const std::string& title, media::Image DemoFrame::*image) {
    out_ << "<tr><th class=\"head\">" << title << "</th>";
    for (const DemoFrame& frame : page_.frames) {
      out_ << "<td><img alt=\"" << title << "\" src=\"data:image/png;base64," << base64(media::encode_png(frame.*image))
           << "\"></td>";
    }
    out_ << "</tr>\n";
  }

  void strips() {
    out_ << "<section><h2>Frame by frame</h2><div class=\"scroll\"><table class=\"strip\"><tr><th class=\"head\"></th>";
    for (std::size_t t = 0; t < page_.frames.size(); ++t) {
      const bool swap = page_.swap_frame == static_cast<std::int64_t>(t);
      out_ << "<th" << (swap ? " class=\"swap\"" : "") << ">frame " << t << (swap ? " &mdash; paths are swapped" : "")
           << "</th>";
    }
    out_ << "</tr>\n";
    strip("Input", &DemoFrame::input);
    strip("Truth", &DemoFrame::truth);
    strip("Tracks", &DemoFrame::masks);
    strip("Overlay", &DemoFrame::overlay);
    out_ << "</table></div><p class=\"small\">Truth: one colour an object, as drawn (";
    for (std::size_t i = 0; i < page_.objects.size(); ++i) out_ << (i ? ", " : "") << escaped(page_.objects[i]);
    out_ << "). A good tracker keeps one colour on each object through the swap, where position misleads and only "
            "appearance helps; the colours themselves may differ from those of the truth.</p></section>\n";
  }

  void clip() {
    if (page_.overlay_file.empty()) return;
    const std::string data = base64(read_bytes(page_.overlay_file));
    out_ << "<section><h2>The tracked clip</h2>";
    if (page_.overlay_file.ends_with(".mp4"))
      out_ << "<video controls autoplay loop muted playsinline src=\"data:video/mp4;base64," << data << "\"></video>";
    else
      out_ << "<img class=\"clip\" alt=\"tracked clip\" src=\"data:image/gif;base64," << data << "\">";
    out_ << "</section>\n";
  }

  void tracks() {
    out_ << "<section><h2>Tracks</h2><table class=\"data\"><tr><th>track</th><th>class</th><th class=\"n\">best "
            "score</th><th class=\"n\">frames</th></tr>";
    for (const DemoTrack& track : page_.tracks)
      out_ << "<tr><td><span class=\"dot\" style=\"background:" << color_of(track.track) << "\"></span>" << track.track
           << "</td><td>" << escaped(track.label) << "</td><td class=\"n\">" << fixed(track.score, 3)
           << "</td><td class=\"n\">" << track.frames << "</td></tr>";
    out_ << "</table><p class=\"small\">Score: probability of the class, from the mean logits of the track so far, "
            "times "
            "the mean certainty of its mask pixels.</p></section>\n";
  }

  void stages() {
    const std::vector<StageTime> times = stage_times();
    double longest = 0;
    for (const StageTime& stage : times) longest = std::max(longest, stage.wall_seconds);
    out_ << "<section><h2>Where the time goes</h2><table class=\"data\"><tr><th>stage</th><th></th><th "
            "class=\"barcell\"></th><th class=\"n\">ms a frame</th><th class=\"n\">CPU ms a frame</th></tr>";
    for (const StageTime& stage : times) {
      const char* meaning = "";
      for (const StageMeaning& known : kStages)
        if (stage.name == known.name) meaning = known.text;
      out_ << "<tr><td>" << escaped(stage.name) << "</td><td class=\"small\">" << meaning
           << "</td><td class=\"barcell\"><div class=\"bar\" style=\"width:"
           << fixed(longest > 0 ? 100 * stage.wall_seconds / longest : 0, 1) << "%\"></div></td><td class=\"n\">"
           << fixed(per_frame(stage.wall_seconds), 2) << "</td><td class=\"n\">"
           << fixed(per_frame(stage.cpu_seconds), 2) << "</td></tr>";
    }
    out_ << "</table><p class=\"small\">Wall-clock time and CPU time of all threads, divided by the number of frames; "
            "the "
            "first frame also prepares the weights. Latency is the time from a frame's arrival to its result.</p>"
            "</section>\n";
  }

  void next() {
    const std::string weights = test_weights() ? "--test-weights public" : "--weights " + page_.command.weights.file;
    const auto command = [this](const char* text, const std::string& line) {
      out_ << "<p>" << text << "</p><pre>" << escaped(line) << "</pre>";
    };
    out_ << "<section><h2>What to try next</h2>";
    command("Track a video of your own:", "visage track clip.mp4 --weights model.pth --output out");
    command("Results while the video runs, smaller frames, no clip:",
            "visage track clip.mp4 " + weights + " --scores online --shortest-edge 360 --overlay none --output out");
    command("Another clip, longer and larger:", "visage demo --frames 24 --size 640x384 --seed 7 --output demo2");
    command("A synthetic data set with exact masks:", "visage pseudo --videos 4 --mode swap --output pseudo");
    command("What is in a weight file:", "visage inspect model.pth");
    out_ << "<p class=\"small\">The files of this run are beside this page: <code>input/</code> (frames, annotations), "
            "<code>result/</code> (";
    const auto& files = page_.summary.files;
    for (std::size_t i = 0; i < files.size(); ++i)
      out_ << (i ? ", " : "") << "<code>" << escaped(files[i]) << "</code>";
    out_ << ").</p></section>\n";
  }

  const DemoPage& page_;
  std::ostringstream out_;
};

}  // namespace

void write_demo_page(const std::string& path, const DemoPage& page) {
  PageWriter writer(page);
  files::AtomicFile file(path);
  file.write(writer.html());
  file.commit();
}

}  // namespace visage::cli
