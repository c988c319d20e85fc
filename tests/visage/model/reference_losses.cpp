#include "tests/support/values.h"
#include "tests/visage/model/offline_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace visage::test {
namespace {

// Value of a plane at a point of the unit square; it is 0 outside of the plane.
double sample(const double* plane, std::int64_t height, std::int64_t width, const double* point) {
  const double x = point[0] * static_cast<double>(width) - 0.5, y = point[1] * static_cast<double>(height) - 0.5;
  double value = 0;
  for (const double row : {std::floor(y), std::floor(y) + 1})
    for (const double column : {std::floor(x), std::floor(x) + 1}) {
      const auto i = static_cast<std::int64_t>(row), j = static_cast<std::int64_t>(column);
      if (i < 0 || j < 0 || i >= height || j >= width) continue;
      value += (1 - std::abs(y - row)) * (1 - std::abs(x - column)) * plane[i * width + j];
    }
  return value;
}

double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

struct MaskTerms {
  double cross_entropy, dice;
};

MaskTerms mask_terms(const Numbers& logits, const Numbers& truth) {
  double entropy = 0, both = 0, either = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double s = 1 / (1 + std::exp(-logits[i])), m = truth[i];
    entropy += m * softplus(-logits[i]) + (1 - m) * softplus(logits[i]);
    both += s * m;
    either += s + m;
  }
  return {entropy / static_cast<double>(logits.size()), 1 - (2 * both + 1) / (either + 1)};
}

double log_softmax(const double* logits, std::int64_t classes, std::int64_t wanted) {
  double whole = 0;
  for (std::int64_t k = 0; k < classes; ++k) whole += std::exp(logits[k]);
  return logits[wanted] - std::log(whole);
}

// All ways to give instances [columns] queries of their own, by trying each.
struct Matching {
  const Numbers& cost;  // [queries, stride]
  std::int64_t queries, instances, stride;
  std::vector<std::int64_t> chosen = {}, best_chosen = {};
  double best = 1e300, second = 1e300;

  void search(double before = 0) {
    const auto instance = std::ssize(chosen);
    if (instance == instances) {
      if (before < best) {
        second = best;
        best = before;
        best_chosen = chosen;
      } else {
        second = std::min(second, before);
      }
      return;
    }
    const auto attempt = [&](std::int64_t query, double step) {
      chosen.push_back(query);
      search(before + step);
      chosen.pop_back();
    };
    for (std::int64_t q = 0; q < queries; ++q)
      if (std::find(chosen.begin(), chosen.end(), q) == chosen.end()) attempt(q, cost[q * stride + instance]);
    if (std::count(chosen.begin(), chosen.end(), -1) < instances - queries) attempt(-1, 0);
  }
};

struct Setting {
  const ReferencePixels& pixels;
  const std::vector<ReferenceClip>& clips;
  int classes;  // with "no object"
  const CriterionConfig& config;
  const UniformSource& uniform;
  std::int64_t frames, queries, most = 0, instances = 0;

  Numbers draw(PointDraw::Use use, std::size_t head, std::int64_t rows, std::int64_t points) const {
    return values_of(uniform({rows, points, 2}, {use, head, 0}));
  }
  const double* mask(const ReferenceHead& head, std::size_t clip, std::int64_t query, std::int64_t t) const {
    const std::int64_t row = (static_cast<std::int64_t>(clip) * queries + query) * frames + t;
    return head.masks.data() + row * pixels.height * pixels.width;
  }
  const double* truth(std::size_t clip, std::int64_t instance, std::int64_t t) const {
    return clips[clip].masks.data() + (instance * frames + t) * clips[clip].height * clips[clip].width;
  }
  const double* logits(const ReferenceHead& head, std::size_t clip, std::int64_t query) const {
    return head.classes.data() + (static_cast<std::int64_t>(clip) * queries + query) * classes;
  }
};

Numbers costs_of(const Setting& s, const ReferenceHead& head, std::size_t index) {
  const std::int64_t count = s.config.num_points;
  const Numbers points = s.draw(PointDraw::Use::matching, index, std::ssize(s.clips), count);
  Numbers costs;
  for (std::size_t n = 0; n < s.clips.size(); ++n)
    for (std::int64_t q = 0; q < s.queries; ++q)
      for (std::int64_t i = 0; i < s.most; ++i) {
        if (i >= std::ssize(s.clips[n].labels)) {
          costs.push_back(0);
          continue;
        }
        Numbers x, m;
        for (std::int64_t t = 0; t < s.frames; ++t)
          for (std::int64_t p = 0; p < count; ++p) {
            const double* const point = points.data() + (static_cast<std::int64_t>(n) * count + p) * 2;
            x.push_back(sample(s.mask(head, n, q, t), s.pixels.height, s.pixels.width, point));
            m.push_back(sample(s.truth(n, i, t), s.clips[n].height, s.clips[n].width, point));
          }
        const auto [entropy, dice] = mask_terms(x, m);
        costs.push_back(-s.config.class_weight *
                            std::exp(log_softmax(s.logits(head, n, q), s.classes, s.clips[n].labels[i])) +
                        s.config.mask_weight * entropy + s.config.dice_weight * dice);
      }
  return costs;
}

// The most uncertain of the candidates, then the random points, of one mask.
Numbers chosen_points(const Setting& s, const double* logits, const double* candidates, std::int64_t candidate_count,
                      const double* random, std::int64_t random_count, double& margin) {
  Numbers doubt;
  for (std::int64_t k = 0; k < candidate_count; ++k)
    doubt.push_back(std::abs(sample(logits, s.pixels.height, s.pixels.width, candidates + 2 * k)));
  std::vector<std::int64_t> order(doubt.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return doubt[a] < doubt[b]; });
  const std::int64_t kept = s.config.num_points - random_count;
  if (kept > 0 && kept < candidate_count) margin = std::min(margin, doubt[order[kept]] - doubt[order[kept - 1]]);
  Numbers points;
  for (std::int64_t k = 0; k < kept; ++k)
    points.insert(points.end(), candidates + 2 * order[k], candidates + 2 * order[k] + 2);
  points.insert(points.end(), random, random + 2 * random_count);
  return points;
}

MaskTerms mask_losses(const Setting& s, const ReferenceHead& head, std::size_t index,
                      const std::vector<std::vector<std::int64_t>>& instance_of, double& margin) {
  std::int64_t matched = 0;
  for (const auto& clip : instance_of) matched += std::ssize(clip) - std::count(clip.begin(), clip.end(), -1);
  const std::int64_t rows = matched * s.frames, points = s.config.num_points;
  const auto random = points - static_cast<std::int64_t>(s.config.importance * static_cast<double>(points));
  const auto many = static_cast<std::int64_t>(s.config.oversample * static_cast<double>(points));
  const Numbers candidates = s.draw(PointDraw::Use::candidates, index, rows, many);
  const Numbers others = s.draw(PointDraw::Use::random, index, rows, random);
  MaskTerms sums{0, 0};
  std::int64_t row = 0;
  for (std::size_t n = 0; n < s.clips.size(); ++n)
    for (std::int64_t q = 0; q < s.queries; ++q) {
      const std::int64_t instance = instance_of[n][q];
      if (instance < 0) continue;
      for (std::int64_t t = 0; t < s.frames; ++t, ++row) {
        const double *const logits = s.mask(head, n, q, t), *const truth = s.truth(n, instance, t);
        const Numbers chosen = chosen_points(s, logits, candidates.data() + row * many * 2, many,
                                             others.data() + row * random * 2, random, margin);
        Numbers x, m;
        for (std::size_t p = 0; p < chosen.size(); p += 2) {
          x.push_back(sample(logits, s.pixels.height, s.pixels.width, &chosen[p]));
          m.push_back(sample(truth, s.clips[n].height, s.clips[n].width, &chosen[p]));
        }
        const auto [entropy, dice] = mask_terms(x, m);
        sums.cross_entropy += entropy;
        sums.dice += dice;
      }
    }
  const double instances = std::max<double>(1, static_cast<double>(s.instances));
  return {sums.cross_entropy / instances, sums.dice / instances};
}

double class_loss(const Setting& s, const ReferenceHead& head,
                  const std::vector<std::vector<std::int64_t>>& instance_of) {
  double sum = 0, weights = 0;
  for (std::size_t n = 0; n < s.clips.size(); ++n)
    for (std::int64_t q = 0; q < s.queries; ++q) {
      const std::int64_t instance = instance_of[n][q];
      const std::int64_t label = instance < 0 ? s.classes - 1 : s.clips[n].labels[instance];
      const double weight = label == s.classes - 1 ? s.config.no_object_weight : 1;
      sum -= weight * log_softmax(s.logits(head, n, q), s.classes, label);
      weights += weight;
    }
  return sum / weights;
}

void add_head(const Setting& s, const ReferenceHead& head, std::size_t index, const std::string& suffix,
              ReferenceLosses& out) {
  const Numbers& costs = out.costs.emplace_back(costs_of(s, head, index));
  std::vector<std::vector<std::int64_t>> instance_of;
  std::vector<std::int64_t>& query_of = out.query_of.emplace_back();
  for (std::size_t n = 0; n < s.clips.size(); ++n) {
    const auto block = costs.begin() + static_cast<std::ptrdiff_t>(n) * s.queries * s.most;
    const Numbers own(block, block + s.queries * s.most);
    Matching matching{own, s.queries, std::ssize(s.clips[n].labels), s.most};
    matching.search();
    out.margin = std::min(out.margin, matching.second - matching.best);
    auto& instances = instance_of.emplace_back(s.queries, -1);
    for (std::size_t i = 0; i < matching.best_chosen.size(); ++i) {
      const std::int64_t query = matching.best_chosen[i];
      query_of.push_back(query);
      if (query >= 0) instances[query] = static_cast<std::int64_t>(i);
    }
  }
  const MaskTerms masks = mask_losses(s, head, index, instance_of, out.margin);
  const auto add = [&](const char* name, double weight, double value) {
    out.terms.emplace_back(name + suffix, value);
    out.total += weight * value;
  };
  add("loss_ce", s.config.class_weight, class_loss(s, head, instance_of));
  add("loss_mask", s.config.mask_weight, masks.cross_entropy);
  add("loss_dice", s.config.dice_weight, masks.dice);
}

}  // namespace

ReferenceLosses reference_losses(const std::vector<ReferenceHead>& heads, const ReferencePixels& pixels,
                                 const std::vector<ReferenceClip>& clips, int num_classes,
                                 const CriterionConfig& config, const UniformSource& uniform) {
  Setting s{pixels,
            clips,
            num_classes + 1,
            config,
            uniform,
            pixels.images / std::ssize(clips),
            std::ssize(heads[0].classes) / std::ssize(clips) / (num_classes + 1)};
  for (const ReferenceClip& clip : clips) {
    s.instances += std::ssize(clip.labels);
    s.most = std::max(s.most, std::ssize(clip.labels));
  }
  ReferenceLosses out;
  add_head(s, heads.back(), 0, "", out);
  for (std::size_t k = 0; k + 1 < heads.size(); ++k) add_head(s, heads[k], k + 1, "_" + std::to_string(k), out);
  return out;
}

}  // namespace visage::test
