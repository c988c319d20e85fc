#pragma once
#include <cstddef>
#include <cstdint>

namespace visage {

/// Element types. f64 exists for checkpoints and metrics only; no kernel computes in it.
enum class DType : std::uint8_t { f32, f16, bf16, f64, i32, i64, u8, boolean };

enum class DeviceType : std::uint8_t { cpu, cuda };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::f16:
    case DType::bf16: return 2;
    case DType::u8:
    case DType::boolean: return 1;
  }
  return 0;
}

constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::f32: return "f32";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::f64: return "f64";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::u8: return "u8";
    case DType::boolean: return "bool";
  }
  return "?";
}

constexpr const char* name_of(DeviceType type) { return type == DeviceType::cpu ? "cpu" : "cuda"; }

}  // namespace visage
