#include "ops/row_program/row_program.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "ops/norm/layer_norm.h"
#include "ops/rounded_weight.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"

#include <algorithm>

namespace visage::ops {
namespace {

using row_program_detail::kEveryBranch;
using row_program_detail::kMostSteps;
using row_program_detail::Program;
using row_program_detail::Slot;
using row_program_detail::Step;

constexpr std::int64_t kMostSlices = 8, kLeastSlice = 256;  // of hidden units

void check_input(const char* what, const Tensor& x, Device device) {
  check<DeviceError>(x.device() == device, "row_program: ", what, " must be on the program's device");
  check<ShapeError>(x.is_contiguous() && x.numel() > 0, "row_program: ", what,
                    " must be contiguous and not empty; size ", x.size(), ", stride ", x.stride());
  check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "row_program: ", what,
                    " must be f32 or bf16; got ", x.dtype());
  autograd::not_differentiable("row_program", {x});
}

void check_parameter(const char* what, const Tensor& x, const Dims& size, Device device) {
  check_input(what, x, device);
  check<ShapeError>(x.size() == size, "row_program: ", what, " must be ", size, "; got ", x.size());
  check<DTypeError>(x.dtype() == DType::f32, "row_program: ", what, " must be f32; got ", x.dtype());
}

bool aligned(const void* data, std::size_t bytes) { return reinterpret_cast<std::uintptr_t>(data) % bytes == 0; }

std::int64_t per_chunk(DType dtype) { return static_cast<std::int64_t>(16 / size_of(dtype)); }

/// Products of q [N, Q, C] with a table [n, C], head by head, on the CPU.
Tensor products_by_head(const Tensor& q, const Tensor& table, std::int64_t heads) {
  const std::int64_t batch = q.size(0), queries = q.size(1), channels = q.size(2), width = channels / heads;
  const Tensor by_head = Tensor::alias(table, {heads, table.size(0), width}, {width, channels, 1});
  std::vector<Tensor> products;
  for (std::int64_t n = 0; n < batch; ++n) {
    const Tensor q_heads = Tensor::alias(q, {heads, queries, width}, {width, channels, 1}, n * queries * channels);
    products.push_back(matmul_nt(q_heads, by_head));
  }
  const Tensor all = batch == 1 ? products[0] : concatenate(products, 0);
  return reshape(all, {batch, heads, queries, table.size(0)});
}

void launch(const Program& program, Device device, double flops, std::span<const Tensor> read) {
  note_work(flops, read);
  on_device(
      device, [] {}, [&](StreamHandle stream) { row_program_detail::run_cuda(program, stream); });
}

}  // namespace

RowProgram::RowProgram(Device device, std::int64_t images, std::int64_t queries)
    : device_(device), images_(images), queries_(queries) {
  program_.images = static_cast<int>(images);
  program_.queries = static_cast<int>(queries);
}

RowProgram::Rows RowProgram::new_rows(std::int64_t columns) {
  // Four floats beyond a multiple of 32: the rows of a tile lie in different banks.
  const int pitch = static_cast<int>((columns + 31) / 32 * 32 + 4);
  const Slot slot{branch_end_, pitch};
  branch_end_ += pitch;
  program_.row_floats = std::max(program_.row_floats, branch_end_);
  return {{}, slot, columns, branch_};
}

void RowProgram::check_seen(const Rows& x) const {
  check<UsageError>(x.branch == kEveryBranch || x.branch == branch_,
                    "row_program: a branch sees its own values and those from before the first branch");
}

RowProgram::Step& RowProgram::add(const Step& step) {
  check<UsageError>(program_.count < kMostSteps, "row_program: more than ", kMostSteps, " steps");
  Step& added = program_.steps[program_.count++] = step;
  added.branch = static_cast<std::int8_t>(branch_);
  return added;
}

const float* RowProgram::pointer(const Tensor& parameter) {
  if (!parameter) return nullptr;
  read_.push_back(parameter);
  return parameter.data<float>();
}

void RowProgram::branch() {
  check<UsageError>(branch_ < 127, "row_program: more than 128 branches");
  if (branch_ == kEveryBranch) shared_end_ = branch_end_;
  branch_end_ = shared_end_;
  program_.branches = ++branch_ + 1;
}

void RowProgram::load_into(const Rows& to, std::int64_t column, const Tensor& x, std::int64_t parts) {
  const std::int64_t columns = x.size(-1);
  Step step{.kind = Step::Kind::load, .repeated = x.rank() == 2, .dtype = x.dtype()};
  step.to = {to.slot.at, to.slot.pitch, static_cast<int>(column)};
  step.columns = static_cast<int>(columns);
  step.parts = static_cast<int>(parts);
  step.data = x.view().data;
  step.pitch = columns;
  step.part_stride = images_ * queries_ * columns;
  step.vectors = columns % 4 == 0 && column % 4 == 0 && aligned(step.data, 4 * size_of(x.dtype()));
  read_.push_back(x);
  add(step);
}

RowProgram::Rows RowProgram::load(const Tensor& x) {
  check_input("x", x, device_);
  const bool repeated = x.rank() == 2;
  const Dims size = repeated ? Dims{queries_, x.size(-1)} : Dims{images_, queries_, x.size(-1)};
  check<ShapeError>(x.size() == size, "row_program: x must be [", images_, ", ", queries_, ", C] or [", queries_,
                    ", C]; got ", x.size());
  if (on_cpu()) return rows_of(repeated ? repeat_batch(x, images_) : x);
  const Rows to = new_rows(x.size(-1));
  load_into(to, 0, x, 1);
  return to;
}

RowProgram::Rows RowProgram::load_sum(const Tensor& parts) {
  check_parameter("the parts", parts, {parts.size(0), images_, queries_, parts.size(-1)}, device_);
  if (on_cpu()) {
    Tensor sum = select(parts, 0);
    for (std::int64_t p = 1; p < parts.size(0); ++p) sum = ops::add(sum, select(parts, p));
    return rows_of(sum);
  }
  const Rows to = new_rows(parts.size(-1));
  load_into(to, 0, parts, parts.size(0));
  return to;
}

RowProgram::Rows RowProgram::load(const AttentionParts& parts) {
  if (parts.out) return load(parts.out);
  check<ShapeError>(static_cast<bool>(parts.partial) && parts.stats && parts.stats.rank() == 5,
                    "row_program: an attention has out, or partial and stats");
  const Tensor& partial = parts.partial;
  check_parameter("partial", partial, {partial.size(0), images_, queries_, partial.size(-1)}, device_);
  check_parameter("stats", parts.stats, {2, partial.size(0), images_, parts.stats.size(-2), queries_}, device_);
  const Rows to = new_rows(partial.size(-1));
  load_into(to, 0, partial, partial.size(0));
  Step& step = program_.steps[program_.count - 1];
  step.kind = Step::Kind::combine;
  step.bias = pointer(parts.stats);
  step.groups = static_cast<int>(parts.stats.size(-2));
  step.vectors = step.vectors && partial.size(-1) / step.groups % 4 == 0;
  return to;
}

RowProgram::Rows RowProgram::load_beside(std::span<const Tensor> parts) {
  std::int64_t columns = 0;
  for (const Tensor& part : parts) {
    check_parameter("a part", part, {images_, queries_, part.size(-1)}, device_);
    columns += part.size(-1);
  }
  if (on_cpu()) return rows_of(concatenate(parts, 2));
  const Rows to = new_rows(columns);
  columns = 0;
  for (const Tensor& part : parts) {
    load_into(to, columns, part, 1);
    columns += part.size(-1);
  }
  return to;
}

RowProgram::Step RowProgram::linear_step(const Rows& x, const Tensor& weight, const Tensor& bias, std::int64_t columns,
                                         const RowLinearOptions& options) {
  const Tensor rounded = rounded_weight("row_program", weight, options.dtype);
  read_.push_back(rounded);
  Step step{.kind = Step::Kind::linear, .relu = options.relu, .row_bias = bias && bias.rank() == 2};
  step.dtype = options.dtype;
  step.from = x.slot;
  step.depth = static_cast<int>(x.columns);
  step.columns = static_cast<int>(columns);
  step.data = rounded.view().data;
  step.pitch = weight.size(1);
  step.bias = pointer(bias);
  const std::int64_t chunk = per_chunk(options.dtype);
  step.vectors = x.columns % chunk == 0 && step.pitch % chunk == 0 && aligned(step.data, 16);
  flops_ += 2.0 * static_cast<double>(images_ * queries_ * x.columns * columns);
  return step;
}

RowProgram::Rows RowProgram::linear(const Rows& x, const Tensor& weight, const Tensor& bias,
                                    const RowLinearOptions& options) {
  check_seen(x);
  check_parameter("weight", weight, {weight.size(0), x.columns}, device_);
  const std::int64_t columns = weight.size(0);
  if (bias) check_parameter("bias", bias, bias.rank() == 2 ? Dims{queries_, columns} : Dims{columns}, device_);
  if (on_cpu()) {
    LinearOptions linear_options{.activation = options.relu ? Activation::relu : Activation::none};
    const bool row_bias = bias && bias.rank() == 2;
    if (row_bias) linear_options.accumulate_into = repeat_batch(bias, images_);
    return rows_of(ops::linear(cast(x.value, options.dtype), weight, row_bias ? Tensor{} : bias, linear_options));
  }
  const Rows to = new_rows(columns);
  add(linear_step(x, weight, bias, columns, options)).to = to.slot;
  return to;
}

RowProgram::Rows RowProgram::layer_norm(const Rows& x, const Tensor& weight, const Tensor& bias) {
  return norm_step(x, nullptr, weight, bias);
}

RowProgram::Rows RowProgram::add_layer_norm(const Rows& x, const Rows& residual, const Tensor& weight,
                                            const Tensor& bias) {
  check<ShapeError>(residual.columns == x.columns, "row_program: the residual has ", residual.columns,
                    " columns, x has ", x.columns);
  return norm_step(x, &residual, weight, bias);
}

RowProgram::Rows RowProgram::norm_step(const Rows& x, const Rows* residual, const Tensor& weight, const Tensor& bias) {
  check_seen(x);
  if (residual) check_seen(*residual);
  check_parameter("weight", weight, {x.columns}, device_);
  check_parameter("bias", bias, {x.columns}, device_);
  if (on_cpu()) {
    return rows_of(residual ? ops::add_layer_norm(x.value, residual->value, weight, bias)
                            : ops::layer_norm(x.value, weight, bias));
  }
  const Rows to = new_rows(x.columns);
  Step& step = add({.kind = Step::Kind::norm, .from = x.slot, .to = to.slot});
  if (residual) step.added = residual->slot;
  step.columns = static_cast<int>(x.columns);
  step.eps = LayerNormOptions{}.eps;
  step.data = pointer(weight);
  step.bias = pointer(bias);
  return to;
}

Tensor RowProgram::store(const Rows& x, DType dtype) {
  check_seen(x);
  if (on_cpu()) return cast(x.value, dtype);
  const Tensor out = Tensor::empty({images_, queries_, x.columns}, dtype, device_);
  Step* last = program_.count ? &program_.steps[program_.count - 1] : nullptr;
  // What a linear map has just made is written by it, anything else by a step of its own, in one of the branches.
  const bool direct =
      last && last->kind == Step::Kind::linear && last->to == x.slot && !last->out && last->branch != kEveryBranch;
  if (!direct) {
    last = &add({.kind = Step::Kind::store, .from = x.slot});
    last->columns = static_cast<int>(x.columns);
    last->branch = static_cast<std::int8_t>(std::max(branch_, 0));
    last->vectors = x.columns % 4 == 0;
  }
  last->out_dtype = dtype;
  last->out = out.view().data;
  last->out_row = x.columns;
  last->out_image = queries_ * x.columns;
  return out;
}

Tensor RowProgram::head_products(const Rows& q, const Tensor& table, std::int64_t heads) {
  check_seen(q);
  check_parameter("table", table, {table.size(0), q.columns}, device_);
  check<ShapeError>(heads > 0 && q.columns % heads == 0, "row_program: ", q.columns, " channels cannot be split into ",
                    heads, " heads");
  if (on_cpu()) return products_by_head(q.value, table, heads);
  const std::int64_t count = table.size(0);
  const Tensor out = Tensor::empty({images_, heads, queries_, count}, DType::f32, device_);
  const Rows head{{}, q.slot, q.columns / heads, q.branch};
  Step& step = add(linear_step(head, table, {}, count, {}));
  step.branch = static_cast<std::int8_t>(std::max(branch_, 0));
  step.groups = static_cast<int>(heads);
  step.out = out.view().data;
  step.out_row = count;
  step.out_group = queries_ * count;
  step.out_image = heads * queries_ * count;
  return out;
}

Tensor RowProgram::feed_forward(const Rows& x, const Tensor& weight1, const Tensor& bias1, const Tensor& weight2,
                                const Tensor& bias2, DType dtype) {
  const std::int64_t hidden = weight1.size(0), columns = weight2.size(0);
  check_parameter("weight1", weight1, {hidden, x.columns}, device_);
  check_parameter("bias1", bias1, {hidden}, device_);
  check_parameter("weight2", weight2, {columns, hidden}, device_);
  check_parameter("bias2", bias2, {columns}, device_);
  check<UsageError>(branch_ == kEveryBranch, "row_program: feed_forward makes branches of its own");
  if (on_cpu()) {
    const Tensor units =
        ops::linear(cast(x.value, dtype), weight1, bias1, {.activation = Activation::relu, .dtype = dtype});
    return reshape(ops::linear(units, weight2, bias2), {1, images_, queries_, columns});
  }
  const std::int64_t slices = std::clamp<std::int64_t>(hidden / kLeastSlice, 1, kMostSlices);
  const Tensor parts = Tensor::empty({slices, images_, queries_, columns}, DType::f32, device_);
  for (std::int64_t s = 0; s < slices; ++s) {
    branch();
    const std::int64_t start = hidden * s / slices / 8 * 8;
    const std::int64_t end = s + 1 == slices ? hidden : hidden * (s + 1) / slices / 8 * 8;
    const Rows units = linear(x, narrow(weight1, 0, start, end - start), narrow(bias1, 0, start, end - start),
                              {.relu = true, .dtype = dtype});
    Step& step = add(linear_step(units, weight2, s == 0 ? bias2 : Tensor{}, columns, {.dtype = dtype}));
    step.data = static_cast<const char*>(step.data) + static_cast<std::size_t>(start) * size_of(dtype);
    step.vectors = step.vectors && aligned(step.data, 16);
    step.out = select(parts, s).view().data;
    step.out_row = columns;
    step.out_image = queries_ * columns;
  }
  return parts;
}

void RowProgram::run() {
  if (on_cpu()) return;
  // Every block reads the weights of its branch from the L2 cache: with tensor cores, which leave time for twice the
  // rows, half as many blocks do.
  const auto is_slow = [](const Step& step) { return step.kind == Step::Kind::linear && step.dtype == DType::f32; };
  const bool fast = std::none_of(program_.steps, program_.steps + program_.count, is_slow);
  program_.row_tiles = fast ? 2 : 1;
  launch(program_, device_, flops_, read_);
}

}  // namespace visage::ops
