#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

struct PointSampleArgs {
  View features;  // [N,H,W,C] f32, u8 or bool
  View points;    // [N,P,2]; axis 0 has stride 0 when one set of points serves all
  View out;       // [N,P,C] f32
};
void point_sample_cpu(const PointSampleArgs& args);
void point_sample_cuda(const PointSampleArgs& args, StreamHandle stream);

struct PointSampleBackwardArgs {
  View gout;      // [N,P,C]
  View features;  // [N,H,W,C] f32
  View points;    // [N,P,2]
  Gradient gfeatures, gpoints;
  // Scratch of the deterministic CUDA kernel, empty for the other one: sums in fixed point [N,H,W,C] i64, and the
  // largest magnitude in gout, [1] i32.
  View sums, largest;
};
void point_sample_backward_cpu(const PointSampleBackwardArgs& args);
void point_sample_backward_cuda(const PointSampleBackwardArgs& args, StreamHandle stream);

struct UncertainPointsArgs {
  View logits;      // [M,K] at the candidates
  View candidates;  // [M,K,2]
  View random;      // [M,R,2]
  View out;         // [M,keep+R,2]
};
void uncertain_points_cpu(const UncertainPointsArgs& args);
void uncertain_points_cuda(const UncertainPointsArgs& args, StreamHandle stream);

}  // namespace visage::ops
