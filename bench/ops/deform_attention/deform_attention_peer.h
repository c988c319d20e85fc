#pragma once
#include "ops/deform_attention/deform_attention_kernels.h"

namespace visage::bench {

/// Deformable attention the straightforward way: one thread an output channel, in f32, as the kernels that come with
/// Deformable DETR do it; every thread works out every sample of its query and head. Needs heads of 32 channels.
void attend_by_channel(const ops::DeformAttentionArgs& args, StreamHandle stream);

/// Its backward: one atomic addition a thread and corner, and three sums over the warp a sample. The value's gradient
/// is added to what is there; the others are overwritten.
void attend_by_channel_backward(const ops::DeformBackwardArgs& args, StreamHandle stream);

}  // namespace visage::bench
