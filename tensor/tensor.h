#pragma once
#include "tensor/allocator.h"
#include "tensor/error.h"
#include "tensor/view.h"

#include <memory>

namespace visage {

/// Reference-counted bytes on one device.
class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  /// Bytes owned by somebody else (a memory-mapped file); `keep_alive` lives as long as the storage.
  Storage(void* data, std::size_t bytes, Device device, std::shared_ptr<void> keep_alive);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  /// Bumped by whoever writes a tensor in place; caches of derived data (packed weights) compare it.
  std::uint64_t version() const { return version_; }
  void bump_version() { ++version_; }

 private:
  void* data_;
  std::size_t bytes_;
  Device device_;
  Allocator* owner_ = nullptr;
  std::shared_ptr<void> keep_alive_;
  std::uint64_t version_ = 0;
};

/// Defined by autograd/, opaque here.
struct AutogradMeta {
  virtual ~AutogradMeta() = default;
};

/// Value-semantic handle: a copy aliases the same elements. It carries no mathematics; that is in ops/.
class Tensor {
 public:
  Tensor() = default;

  /// Uninitialised contiguous tensor.
  static Tensor empty(const Dims& size, DType dtype = DType::f32, Device device = {});
  static Tensor zeros(const Dims& size, DType dtype = DType::f32, Device device = {});
  /// f32.
  static Tensor ones(const Dims& size, Device device = {});
  /// CPU tensor holding a copy of `values` (numel must match).
  static Tensor from(const Dims& size, const float* values);
  /// Another window on the storage of `base`, without gradient history. Strides in elements; `offset` in
  /// elements from the start of `base`. throws ShapeError if the window leaves the storage.
  static Tensor alias(const Tensor& base, const Dims& size, const Dims& stride, std::int64_t offset = 0);
  static Tensor from_storage(std::shared_ptr<Storage> storage, std::size_t byte_offset, const Dims& size,
                             const Dims& stride, DType dtype);

  explicit operator bool() const { return impl_ != nullptr; }
  const Dims& size() const { return impl_->size; }
  const Dims& stride() const { return impl_->stride; }
  std::int64_t size(int axis) const { return impl_->size[axis]; }
  int rank() const { return impl_->size.rank; }
  std::int64_t numel() const { return impl_->size.numel(); }
  std::size_t nbytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype()); }
  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->storage->device(); }
  bool is_contiguous() const { return impl_->stride == contiguous_strides(impl_->size); }
  const std::shared_ptr<Storage>& storage() const { return impl_->storage; }

  View view() const {
    return {static_cast<char*>(impl_->storage->data()) + impl_->byte_offset, impl_->size, impl_->stride, impl_->dtype,
            device().type};
  }
  template <class T>
  T* data() const {
    return view().as<T>();
  }

  std::shared_ptr<AutogradMeta>& autograd_meta() const { return impl_->meta; }

 private:
  struct Impl {
    std::shared_ptr<Storage> storage;
    std::size_t byte_offset = 0;
    Dims size, stride;
    DType dtype = DType::f32;
    std::shared_ptr<AutogradMeta> meta;
  };
  std::shared_ptr<Impl> impl_;
};

}  // namespace visage
