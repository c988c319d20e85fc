#pragma once
#include "tensor/view.h"

namespace visage::ops {

struct ClassScoreArgs {
  View logits;  // f32 [Q, C+1]
  View out;     // f32 [Q]
};

void max_class_score_cpu(const ClassScoreArgs& args);
void max_class_score_cuda(const ClassScoreArgs& args, StreamHandle stream);

}  // namespace visage::ops
