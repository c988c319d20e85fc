#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace visage::train {

/// A quantity over the steps of a run, in a bounded number of bins however long the run is: the mean of every bin, and
/// its least and greatest value.
class Curve {
 public:
  static constexpr std::int64_t kMostBins = 400;

  /// For steps 1 ... `steps`.
  Curve(std::string name, std::int64_t steps);
  /// The mean weighs values by `weight`: a rate by its seconds, for example. Values that are no numbers are left out.
  void add(std::int64_t step, double value, double weight = 1);

  struct Point {
    double step = 0, mean = 0, least = 0, greatest = 0;
  };
  [[nodiscard]] std::vector<Point> points() const;
  const std::string& name() const { return name_; }
  /// The value added last.
  double last() const { return last_; }
  bool empty() const { return bins_.empty(); }

 private:
  struct Bin {
    double steps = 0, sum = 0, weight = 0, least = 0, greatest = 0;
    std::int64_t count = 0;
  };
  std::string name_;
  std::int64_t width_;  // steps a bin
  std::vector<Bin> bins_;
  double last_ = 0;
};

/// Axis of a chart. With `log` it has powers of ten; values that are not positive are left out then.
enum class Scale { linear, log };

/// Curves over one axis of steps as an SVG element, without outside references. Curve i has the class "c<i>", its range
/// "r<i>", and the style sheet of the page colours them. `marks` shows every point, for curves of few.
enum class Marks { none, dots };
[[nodiscard]] std::string svg_chart(const std::vector<const Curve*>& curves, std::int64_t steps, Scale scale,
                                    Marks marks);

/// A number for a reader: three significant digits.
[[nodiscard]] std::string short_number(double value);

}  // namespace visage::train
