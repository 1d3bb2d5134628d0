// Matrix products of a device: those of a projection, forward and backward, as `linear` asks for them.
#pragma once

#include <array>
#include <vector>

#include "tools/bench/operands.h"
#include "tools/bench/products.h"

namespace isoloss::bench {

/// Where the operands of a projection lie: x and dx [m,k], w and dw [k,n] ([n,k] when transposed), y and dy [m,n]. A
/// pass writes the one that stands for its result: forward y, dx x, dw w (float32).
struct ProjectionMemory {
  void *x, *w, *y;
};

Matmul device_product(const Projection& projection, Pass pass, DType real, bool tf32, const ProjectionMemory& memory);

/// Whether products of float32 may run on the machine's tensor cores.
bool uses_tf32(const Machine& machine);

/// measure_products() on a device: its own library alone.
std::vector<ProductRow> measure_device_products(const Machine& machine, DType real,
                                                const std::vector<Projection>& projections, double seconds);

}  // namespace isoloss::bench
