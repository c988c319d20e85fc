#pragma once
#include "ops/attention/masked_attention.h"
#include "ops/row_program/row_program_kernels.h"
#include "tensor/tensor.h"

#include <span>
#include <vector>

namespace visage::ops {

/// Options of RowProgram::linear.
struct RowLinearOptions {
  bool relu = false;
  DType dtype = DType::f32;  // of the factors, f32 or bf16; sums are f32
};

/// A short chain of steps on the rows of [N, Q, C], each of which makes a row of one tensor from a row of another:
/// loads, linear maps, layer norms, stores. On a GPU the whole chain is one kernel, launched by run(), and what is not
/// stored never leaves the multiprocessor: for a decoder of 100 queries, whose steps would each take less time than the
/// launch of a kernel. On the CPU each step is the op that it is named after.
///
///   RowProgram program(x.device(), x.size(0), x.size(1));
///   const auto h = program.layer_norm(program.load(x), weight, bias);
///   program.branch();
///   const Tensor a = program.store(program.linear(h, wa, ba));
///   program.branch();
///   const Tensor b = program.store(program.linear(h, wb, bb));
///   program.run();                                                   // a and b are there from now on
///
/// Weights and biases are contiguous f32 [out, in] and [out]; with bf16 factors weights and rows are rounded to bf16,
/// as ops::linear does. f32 products are f32 multiply-adds on a GPU, also where cuda::matrix_precision() is tf32. The
/// order of their sums is not that of ops::linear. Nothing here is differentiable.
/// On a GPU a value takes 32 bytes of shared memory a column (64 where all products are bf16); those of a branch and
/// the shared ones must fit into what a block can have (99 KiB or more, by the GPU), else run() throws CudaError.
/// throws ShapeError, DTypeError or DeviceError for what does not fit, AutogradError if a gradient is wanted,
/// UsageError for a chain of more than row_program_detail::kMostSteps steps or one that reads what another branch has
/// made.
class RowProgram {
 public:
  /// A row of `columns` f32 numbers a query.
  struct Rows {
    Tensor value;                   // [N, Q, columns] on the CPU
    row_program_detail::Slot slot;  // on a GPU
    std::int64_t columns = 0;
    int branch = row_program_detail::kEveryBranch;  // the one that sees it
  };

  RowProgram(Device device, std::int64_t images, std::int64_t queries);

  /// x [N, Q, C], or [Q, C] for the same rows in every image; f32 or bf16, contiguous.
  Rows load(const Tensor& x);
  /// The sum of parts [P, N, Q, C], f32, contiguous, in their order.
  Rows load_sum(const Tensor& parts);
  /// The result of an attention, whose splits are combined on the way.
  Rows load(const AttentionParts& parts);
  /// Tensors [N, Q, C_i], f32, one beside the other.
  Rows load_beside(std::span<const Tensor> parts);
  /// x weight^T + bias, ReLU if asked for. The bias is [out], or [Q, out] for one a query, or empty.
  Rows linear(const Rows& x, const Tensor& weight, const Tensor& bias, const RowLinearOptions& options = {});
  /// As the ops of these names.
  Rows layer_norm(const Rows& x, const Tensor& weight, const Tensor& bias);
  Rows add_layer_norm(const Rows& x, const Rows& residual, const Tensor& weight, const Tensor& bias);

  /// Ends the steps that all branches share, or a branch. Branches run side by side; what they share is worked out in
  /// each. A branch sees its own values and the shared ones.
  void branch();

  // Results. On a GPU they are there after run().

  /// x as [N, Q, columns] f32 or bf16.
  [[nodiscard]] Tensor store(const Rows& x, DType dtype = DType::f32);
  /// Products of q with a table [n, C] f32, head by head: [N, heads, Q, n], in f32.
  [[nodiscard]] Tensor head_products(const Rows& q, const Tensor& table, std::int64_t heads);
  /// relu(x w1^T + b1) w2^T + b2 as parts [P, N, Q, C] whose sum it is (load_sum): on a GPU a part comes from a slice
  /// of the hidden units, a branch each. Nothing may follow, and no branch may have been begun.
  [[nodiscard]] Tensor feed_forward(const Rows& x, const Tensor& weight1, const Tensor& bias1, const Tensor& weight2,
                                    const Tensor& bias2, DType dtype = DType::f32);
  /// Once, after the last step.
  void run();

 private:
  using Step = row_program_detail::Step;
  bool on_cpu() const { return device_.type == DeviceType::cpu; }
  Rows new_rows(std::int64_t columns);
  /// A value of this branch on the CPU.
  Rows rows_of(const Tensor& value) const { return {value, {}, value.size(-1), branch_}; }
  void check_seen(const Rows& x) const;
  Step& add(const Step& step);
  void load_into(const Rows& to, std::int64_t column, const Tensor& x, std::int64_t parts);
  Step linear_step(const Rows& x, const Tensor& weight, const Tensor& bias, std::int64_t columns,
                   const RowLinearOptions& options);
  Rows norm_step(const Rows& x, const Rows* residual, const Tensor& weight, const Tensor& bias);
  const float* pointer(const Tensor& parameter);

  Device device_;
  std::int64_t images_, queries_;
  row_program_detail::Program program_;
  int branch_ = row_program_detail::kEveryBranch;
  int shared_end_ = 0, branch_end_ = 0;  // floats a row of shared memory that all branches, and this one, have taken
  double flops_ = 0;
  std::vector<Tensor> read_;  // until the launch
};

}  // namespace visage::ops
