#include "train/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace visage::train {
namespace {

constexpr double kWidth = 520, kHeight = 200;
constexpr double kLeft = 52, kRight = 20, kTop = 10, kBottom = 24;  // margins, for the labels of the axes

std::string fixed(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

// 1, 2 or 5 times a power of ten, such that about `count` of them cover `range`.
double tick_distance(double range, int count) {
  const double rough = range / count, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough) return factor * power;
  return 10 * power;
}

struct Tick {
  double value = 0;
  std::string label;
};

// The vertical axis: where a value lies, from 0 (bottom) to 1, and what is written beside it.
class Axis {
 public:
  Axis(double least, double greatest, Scale scale) : scale_(scale) {
    if (scale_ == Scale::log) {
      low_ = std::floor(std::log10(least));
      high_ = std::max(std::ceil(std::log10(greatest)), low_ + 1);
      for (double power = low_; power <= high_; ++power)
        ticks_.push_back({std::pow(10, power), short_number(std::pow(10, power))});
      return;
    }
    if (greatest <= least) greatest = least + std::max(std::abs(least), 1e-12);
    const double distance = tick_distance(greatest - least, 4);
    low_ = std::floor(least / distance + 1e-9) * distance;
    high_ = std::ceil(greatest / distance - 1e-9) * distance;
    for (double value = low_; value <= high_ + distance / 2; value += distance)
      ticks_.push_back({value, short_number(std::abs(value) < distance / 1e6 ? 0 : value)});
  }
  double place(double value) const {
    const double position = ((scale_ == Scale::log ? std::log10(value) : value) - low_) / (high_ - low_);
    return std::clamp(position, 0.0, 1.0);
  }
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  Scale scale_;
  double low_ = 0, high_ = 1;
  std::vector<Tick> ticks_;
};

class Chart {
 public:
  Chart(const std::vector<const Curve*>& curves, std::int64_t steps, Scale scale, Marks marks)
      : marks_(marks), steps_(static_cast<double>(std::max<std::int64_t>(steps, 1))), axis_(0, 1, Scale::linear) {
    for (const Curve* curve : curves) {
      points_.push_back(curve->points());
      if (scale == Scale::log) std::erase_if(points_.back(), [](const Curve::Point& p) { return p.least <= 0; });
    }
    axis_ = fitted(scale);
  }

  std::string svg() {
    out_ << "<svg viewBox=\"0 0 " << kWidth << ' ' << kHeight << "\" role=\"img\">";
    grid();
    for (std::size_t c = 0; c < points_.size(); ++c) range(c);
    for (std::size_t c = 0; c < points_.size(); ++c) line(c);
    out_ << "</svg>";
    return out_.str();
  }

 private:
  // Up to what a fiftieth of the means exceed: the first steps and single outliers may stick out at the top.
  Axis fitted(Scale scale) const {
    std::vector<double> means;
    for (const auto& points : points_)
      for (const Curve::Point& point : points) means.push_back(point.mean);
    if (means.empty()) return {0, 1, Scale::linear};
    std::ranges::sort(means);
    const double least = means.front(), greatest = means[means.size() - 1 - means.size() / 50];
    return {scale == Scale::linear ? std::min(least, 0.0) : least, greatest, scale};
  }
  double x(double step) const { return kLeft + (kWidth - kLeft - kRight) * step / steps_; }
  double y(double value) const { return kTop + (kHeight - kTop - kBottom) * (1 - axis_.place(value)); }

  void grid() {
    for (const Tick& tick : axis_.ticks()) {
      out_ << "<path class=\"grid\" d=\"M" << kLeft << ' ' << fixed(y(tick.value)) << 'H' << kWidth - kRight << "\"/>"
           << "<text x=\"" << kLeft - 6 << "\" y=\"" << fixed(y(tick.value) + 4) << "\" text-anchor=\"end\">"
           << tick.label << "</text>";
    }
    const double distance = std::max(tick_distance(steps_, 5), 1.0);
    for (double step = 0; step <= steps_; step += distance)
      out_ << "<text x=\"" << fixed(x(step)) << "\" y=\"" << kHeight - 6 << "\" text-anchor=\"middle\">"
           << short_number(step) << "</text>";
  }

  void range(std::size_t c) {
    if (points_[c].size() < 2) return;
    out_ << "<path class=\"range r" << c << "\" d=\"";
    char command = 'M';
    for (const Curve::Point& p : points_[c]) {
      out_ << command << fixed(x(p.step)) << ' ' << fixed(y(p.greatest));
      command = 'L';
    }
    for (auto p = points_[c].rbegin(); p != points_[c].rend(); ++p)
      out_ << 'L' << fixed(x(p->step)) << ' ' << fixed(y(p->least));
    out_ << "Z\"/>";
  }

  void line(std::size_t c) {
    out_ << "<path class=\"line c" << c << "\" d=\"";
    char command = 'M';
    for (const Curve::Point& p : points_[c]) {
      out_ << command << fixed(x(p.step)) << ' ' << fixed(y(p.mean));
      command = 'L';
    }
    out_ << "\"/>";
    if (marks_ == Marks::none && points_[c].size() > 1) return;
    for (const Curve::Point& p : points_[c])
      out_ << "<circle class=\"c" << c << "\" cx=\"" << fixed(x(p.step)) << "\" cy=\"" << fixed(y(p.mean))
           << "\" r=\"3\"><title>step " << short_number(p.step) << ": " << short_number(p.mean) << "</title></circle>";
  }

  Marks marks_;
  double steps_;
  std::vector<std::vector<Curve::Point>> points_;
  Axis axis_;
  std::ostringstream out_;
};

}  // namespace

Curve::Curve(std::string name, std::int64_t steps)
    : name_(std::move(name)), width_(std::max<std::int64_t>((steps + kMostBins - 1) / kMostBins, 1)) {}

void Curve::add(std::int64_t step, double value, double weight) {
  if (!std::isfinite(value) || !(weight > 0)) return;
  last_ = value;
  const auto bin = static_cast<std::size_t>(std::max<std::int64_t>(step - 1, 0) / width_);
  if (bins_.size() <= bin) bins_.resize(bin + 1);
  Bin& b = bins_[bin];
  b.least = b.count ? std::min(b.least, value) : value;
  b.greatest = b.count ? std::max(b.greatest, value) : value;
  b.steps += static_cast<double>(step);
  b.sum += weight * value;
  b.weight += weight;
  ++b.count;
}

std::vector<Curve::Point> Curve::points() const {
  std::vector<Point> points;
  for (const Bin& bin : bins_)
    if (bin.count > 0)
      points.push_back({bin.steps / static_cast<double>(bin.count), bin.sum / bin.weight, bin.least, bin.greatest});
  return points;
}

std::string svg_chart(const std::vector<const Curve*>& curves, std::int64_t steps, Scale scale, Marks marks) {
  return Chart(curves, steps, scale, marks).svg();
}

std::string short_number(double value) {
  char text[32];
  const double size = std::abs(value);
  if (size >= 1e4 && size < 1e7 && std::fmod(value, 1000) == 0)
    std::snprintf(text, sizeof text, "%.0fk", value / 1000);
  else if (size >= 100 && size < 1e6)
    std::snprintf(text, sizeof text, "%.0f", value);
  else
    std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

}  // namespace visage::train
