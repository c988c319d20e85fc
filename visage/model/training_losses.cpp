#include "visage/model/training_losses.h"

#include "ops/elementwise/elementwise.h"
#include "ops/loss/contrastive_loss.h"
#include "ops/resize/resize.h"
#include "ops/shape/gather_rows.h"
#include "ops/shape/views.h"
#include "tensor/stage_timer.h"
#include "tensor/transfer.h"

#include <algorithm>

namespace visage {
namespace {

/// The anchors of the embedding losses.
struct Anchors {
  Tensor queries;                      // i64: for every instance of every frame the row of its query
  std::vector<ops::AnchorPair> pairs;  // of these rows, a pair of adjacent frames
  double count = 0;
};

// Reads which instances have no query, takes them out of `usable` and lets query 0 stand for theirs.
Tensor only_known_queries(const Tensor& query_of_instance, std::vector<bool>& usable) {
  const Tensor rows = Tensor::empty(query_of_instance.size(), DType::i64);
  copy_into(rows, query_of_instance);
  for (std::size_t i = 0; i < usable.size(); ++i) {
    std::int64_t& row = rows.data<std::int64_t>()[i];
    if (row < 0) usable[i] = false;
    row = std::max<std::int64_t>(row, 0);
  }
  return to_device(rows, query_of_instance.device());
}

// The instances that two adjacent frames of a clip both show, and the queries that explain them there.
Anchors find_anchors(const BatchTargets& targets, const ops::MatchedRows& matches, std::int64_t frames) {
  const ops::RowRanges& instances = targets.instances;
  std::vector<bool> usable;
  for (const std::int64_t id : targets.ids) usable.push_back(id >= 0);
  Anchors anchors{.queries = matches.query_of_instance, .pairs = {}};
  // Every instance has a query, unless a frame has more of them than there are queries.
  if (instances.most() > matches.classes.size(1)) anchors.queries = only_known_queries(anchors.queries, usable);
  for (std::int64_t n = 0; n < instances.items(); ++n) {
    if (n % frames == 0) continue;
    ops::AnchorPair pair;
    for (std::int64_t i = 0; i < std::min(instances.count(n - 1), instances.count(n)); ++i) {
      const std::int64_t before = instances.first(n - 1) + i, now = instances.first(n) + i;
      if (!usable[before] || !usable[now]) continue;
      pair.key_index.push_back(before);
      pair.reference_index.push_back(now);
    }
    anchors.count += static_cast<double>(pair.key_index.size());
    anchors.pairs.push_back(std::move(pair));
  }
  return anchors;
}

// Mask logits of all queries at the sizes of the appearance levels: the embedding times the resized features.
std::vector<Tensor> level_masks(const Tensor& mask_embedding, const Tensor& mask_features,
                                const BackboneFeatures& features, std::size_t levels) {
  const autograd::NoGrad constant;
  std::vector<Tensor> masks;
  for (std::size_t level = 0; level < levels; ++level) {
    const Tensor& map = features[level + 1];
    masks.push_back(mask_logits(mask_embedding, ops::resize_bilinear(mask_features, map.size(1), map.size(2))));
  }
  return masks;
}

}  // namespace

BatchCounts count_targets(std::span<const FrameTargets> targets, std::int64_t frames, const ModelConfig& model,
                          const TrainingLossConfig& config) {
  const std::int64_t queries = model.detector.num_queries;
  BatchCounts counts;
  const auto add_item = [&](std::int64_t instances) {
    const std::int64_t matched = std::min(instances, queries);
    counts.items += 1;
    counts.instances += static_cast<double>(instances);
    counts.matched += static_cast<double>(matched);
    counts.class_weight += config.masks.no_object_weight * static_cast<double>(queries - matched);
    return matched;
  };
  const auto class_weight = [&](std::int64_t label) {
    return label == model.detector.num_classes ? config.masks.no_object_weight : 1.0;
  };
  if (model.detector.mode == Mode::offline) {
    for (std::int64_t first = 0; first < std::ssize(targets); first += frames) {
      const auto clip = targets.subspan(first, static_cast<std::size_t>(frames));
      const std::vector<std::int64_t> visible = visible_instances(clip);
      const std::int64_t matched = add_item(std::ssize(visible));
      for (std::int64_t i = 0; i < matched; ++i) counts.class_weight += class_weight(clip.front().labels[visible[i]]);
    }
    return counts;
  }
  for (std::size_t n = 0; n < targets.size(); ++n) {
    const FrameTargets& frame = targets[n];
    const std::int64_t matched = add_item(frame.count());
    for (std::int64_t i = 0; i < matched; ++i) {
      counts.class_weight += class_weight(frame.labels[i]);
      const bool paired = static_cast<std::int64_t>(n) % frames != 0 && i < targets[n - 1].count();
      if (paired && frame.ids[i] >= 0 && targets[n - 1].ids[i] >= 0) counts.anchors += 1;
    }
  }
  return counts;
}

TrainingObjective::TrainingObjective(const Model& model, const TrainingLossConfig& config)
    : model_(model), config_(config), criterion_(model.config().detector.num_classes, config.masks, model.device()) {}

TrainingLosses TrainingObjective::operator()(const Tensor& images, const BatchTargets& targets, std::int64_t frames,
                                             const UniformSource& uniform, const BatchShare& share) const {
  check<ShapeError>(frames > 0 && images.size(0) % frames == 0, "TrainingObjective: ", images.size(0),
                    " images are no clips of ", frames, " frames");
  const auto stage = [](const char* name, const auto& run) {
    const StageTimer timer(name);
    return run();
  };
  const BackboneFeatures features = stage("backbone", [&] { return model_.backbone()(images, config_.backbone); });
  const PixelFeatures pixel = stage("pixel decoder", [&] { return model_.pixel_decoder()(features, config_.encoder); });
  const DecoderOutput decoded = stage("masked decoder", [&] {
    return model_.decoder()(pixel, MaskDetail::embeddings, model_.mode() == Mode::online ? 1 : frames);
  });
  TrainingLosses out;
  out.criterion = stage("matching and mask losses",
                        [&] { return criterion_(decoded.heads, pixel.mask_features, targets, uniform, share); });
  out.terms = out.criterion.losses;
  if (const AppearanceHead* const appearance = model_.appearance()) {
    const AppearanceOutput embedded = stage("appearance", [&] {
      return (*appearance)(decoded.embeddings, features,
                           level_masks(decoded.heads.back().mask_embedding, pixel.mask_features, features,
                                       appearance->projections().size()));
    });
    const StageTimer timer("contrastive losses");
    add_embedding_losses(embedded, targets, out, frames, share);
  }

  std::vector<Tensor> values;
  std::vector<float> weights;
  for (const LossTerm& term : out.terms) {
    values.push_back(term.value);
    weights.push_back(static_cast<float>(term.weight));
  }
  out.total = ops::weighted_sum(values, weights);
  return out;
}

void TrainingObjective::add_embedding_losses(const AppearanceOutput& embedded, const BatchTargets& targets,
                                             TrainingLosses& out, std::int64_t frames, const BatchShare& share) const {
  const Anchors anchors = find_anchors(targets, out.criterion.matches.front(), frames);
  const double divisor = std::max(share.anchors > 0 ? share.anchors : anchors.count, 1.0);
  const auto add_branch = [&](const Tensor& embedding, const std::string& suffix) {  // [N, Q, C]
    const Tensor rows = ops::gather_rows(ops::reshape(embedding, {-1, embedding.size(2)}), anchors.queries);
    const Tensor x = ops::reshape(rows, {1, rows.size(0), rows.size(1)});
    out.terms.push_back(
        {"loss_reid" + suffix, config_.contrastive_weight, ops::contrastive_loss(x, x, anchors.pairs, divisor)});
    out.terms.push_back(
        {"loss_aux_reid" + suffix, config_.cosine_weight, ops::cosine_loss(x, x, anchors.pairs, divisor)});
  };
  add_branch(embedded.object, "");
  add_branch(embedded.appearance, "_app");
}

}  // namespace visage
