#pragma once
#include "visage/evaluation/evaluator.h"

#include <iosfwd>
#include <string>

namespace visage::cli {

/// Tables for people, in percent with one decimal, "-" without ground truth: the columns papers print, the identity
/// metrics, and a line for every category with ground truth.
void print_evaluation(const evaluation::Evaluation& evaluation, std::ostream& out);

/// Everything as JSON: fractions of 1 in full precision, null without ground truth; all categories.
[[nodiscard]] std::string evaluation_json(const evaluation::Evaluation& evaluation);

}  // namespace visage::cli
