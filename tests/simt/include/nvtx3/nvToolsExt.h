#pragma once
// NVTX, as far as the engine uses it. The names are kept for tests: simt/control.h.
int nvtxRangePushA(const char* name);
int nvtxRangePop();
