#!/usr/bin/env bash
# Builds the fuzz targets with clang under AddressSanitizer and UBSan and runs each for SECONDS (default 10).
#   tests/fuzz/run.sh [SECONDS] [TARGET ...]
# The corpus grows in build/fuzz/corpus/TARGET; a finding is left in build/fuzz/findings and makes the exit code 1.
# Without clang there is nothing to run: it says so and exits 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10}
shift || true

compiler=""
for candidate in clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14 clang++; do
  if command -v "$candidate" > /dev/null; then compiler=$candidate; break; fi
done
if [ -z "$compiler" ]; then
  echo "fuzz: skipped, no clang++ found (install clang to run the fuzz targets)"
  exit 0
fi
# Clang without the fuzzer's runtime library is packaged too.
if ! echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "$compiler" -x c++ -fsanitize=fuzzer,address,undefined - -o /dev/null 2> /dev/null; then
  echo "fuzz: skipped, $compiler has no libFuzzer or sanitizer runtime (install libclang-rt-dev of its version)"
  exit 0
fi

build=build/fuzz
cmake --preset fuzz -B "$build" -DCMAKE_CXX_COMPILER="$compiler" > "$build.log" 2>&1 || { cat "$build.log"; exit 1; }
cmake --build "$build" --target fuzzers > "$build.log" 2>&1 || { tail -50 "$build.log"; exit 1; }

# Inputs to start from: the recorded files, the hostile ones too.
seed() {
  local target=$1
  shift
  mkdir -p "$build/corpus/$target"
  local file
  for file in "$@"; do
    if [ -f "$file" ]; then cp -u "$file" "$build/corpus/$target/"; fi
  done
}
data=tests/data/golden/ckpt
seed safetensors "$data"/*.safetensors
seed pth "$data"/*zip.pth
seed pickle "$data"/*.pkl "$data"/*legacy.pth
seed annotation tests/data/golden_eval/malformed/*.json

mkdir -p "$build/findings"
status=0
for binary in "$build"/fuzz/*_fuzz; do
  target=$(basename "$binary" _fuzz)
  if [ $# -gt 0 ] && [[ " $* " != *" $target "* ]]; then continue; fi
  mkdir -p "$build/corpus/$target"
  dictionary=()
  if [ -f "tests/fuzz/$target.dict" ]; then dictionary=(-dict="tests/fuzz/$target.dict"); fi
  echo "fuzz: $target for $seconds s"
  if ! "$binary" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
      -artifact_prefix="$build/findings/$target-" "${dictionary[@]}" "$build/corpus/$target" \
      > "$build/$target.log" 2>&1; then
    echo "fuzz: $target found something, see $build/findings and $build/$target.log:"
    tail -40 "$build/$target.log"
    status=1
  fi
  grep -E 'stat::number_of_executed_units|stat::peak_rss_mb' "$build/$target.log" || true
done
exit $status
