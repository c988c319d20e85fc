#include "train/data/check.h"

#include <algorithm>
#include <iomanip>
#include <ostream>

namespace visage::train {
namespace {

constexpr size_t kShownSizes = 8;

void print_sizes(const DataSummary& summary, const char* things, std::ostream& out) {
  std::vector<std::pair<int64_t, std::pair<int64_t, int64_t>>> by_count;
  for (const auto& [size, count] : summary.sizes) by_count.emplace_back(count, size);
  std::stable_sort(by_count.begin(), by_count.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  out << "  sizes      ";
  for (size_t i = 0; i < std::min(by_count.size(), kShownSizes); ++i)
    out << (i ? ", " : "") << by_count[i].second.first << "x" << by_count[i].second.second << " (" << by_count[i].first
        << ")";
  if (by_count.size() > kShownSizes) out << ", " << by_count.size() - kShownSizes << " more";
  out << "; in brackets: " << things << "\n";
}

void print_classes(const DataSummary& summary, std::ostream& out) {
  out << "  classes    " << summary.classes.size() << "\n";
  size_t width = 0;
  for (const ClassCount& c : summary.classes) width = std::max(width, c.category.name.size());
  for (const ClassCount& c : summary.classes)
    out << "    " << std::right << std::setw(6) << c.category.id << "  " << std::left
        << std::setw(static_cast<int>(width)) << c.category.name << "  " << c.instances << " instances\n";
  out << std::right;
}

}  // namespace

void print(const DataReport& report, std::ostream& out) {
  const DataSummary& s = report.summary;
  const bool videos = report.format == Format::ytvis;
  out << (report.annotations.empty() ? report.path : report.annotations) << "\n";
  if (s.videos > 0) {
    out << "  format     " << (videos ? "YouTube-VIS" : "COCO instances") << "\n";
    if (!report.image_root.empty()) out << "  images in  " << report.image_root << "\n";
    if (videos)
      out << "  videos     " << s.videos << ", " << s.frames << " frames, " << s.shortest << " to " << s.longest
          << " a video\n";
    else
      out << "  images     " << s.videos << "\n";
    print_sizes(s, videos ? "videos" : "images", out);
    if (report.ground_truth == annotation::GroundTruth::missing) {
      // After an error it may be that the file was not read as far as its annotations.
      if (report.problems.empty()) out << "  instances  none: the file has no ground truth\n";
    } else {
      out << "  instances  " << s.instances;
      if (videos) out << ", visible in " << s.visible << " frames, absent in " << s.absent;
      out << "; " << s.crowds << " crowd regions; " << s.videos_without_objects << (videos ? " videos" : " images")
          << " without objects\n";
    }
    print_classes(s, out);
  }
  for (const std::string& warning : report.warnings) out << "warning: " << warning << "\n";
  for (const std::string& problem : report.problems) out << "error: " << problem << "\n";
  const auto plural = [](size_t count) { return count == 1 ? "" : "s"; };
  out << report.problems.size() << " error" << plural(report.problems.size()) << ", " << report.warnings.size()
      << " warning" << plural(report.warnings.size()) << "\n";
}

}  // namespace visage::train
