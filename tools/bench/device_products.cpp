#include "tools/bench/device_products.h"

#include <algorithm>
#include <utility>

#include "kernels/core/rules.h"
#include "tools/bench/timing.h"
#include "tools/common/program.h"

namespace isoloss::bench {

Matmul device_product(const Projection& p, Pass pass, DType real, bool tf32, const ProjectionMemory& memory) {
  const Matmul::Operand x{.data = memory.x, .row = p.k}, y{.data = memory.y, .row = p.n};
  const Matmul::Operand w{.data = memory.w, .row = p.transposed ? p.k : p.n, .transposed = p.transposed};
  Matmul product;
  product.operands = real;
  product.result = pass == Pass::dw ? wide(real) : real;
  product.tf32 = tf32;
  switch (pass) {
    case Pass::forward:
      product.m = p.m, product.n = p.n, product.k = p.k;
      product.a = x, product.b = w, product.c = y;
      break;
    case Pass::dx:
      product.m = p.m, product.n = p.k, product.k = p.n;
      product.a = y, product.b = w, product.c = x;
      product.b.transposed = !w.transposed;
      break;
    case Pass::dw:
      product.m = p.transposed ? p.n : p.k, product.n = p.transposed ? p.k : p.n, product.k = p.m;
      product.a = p.transposed ? y : x, product.b = p.transposed ? x : y, product.c = w;
      product.a.transposed = true, product.c.transposed = false;
      break;
  }
  return product;
}

bool uses_tf32(const Machine& machine) { return machine.context({}, {}).cuda->tf32; }

std::vector<ProductRow> measure_device_products(const Machine& machine, DType real,
                                                const std::vector<Projection>& projections, double seconds) {
  std::vector<ProductRow> rows;
  for (const Projection& p : projections) {
    const TensorType x{real, {p.m, p.k}}, w{real, {p.k, p.n}}, y{real, {p.m, p.n}};
    const int copies = copies_beyond_cache(machine, static_cast<double>(x.bytes() + w.bytes() + y.bytes()));
    for (const Pass pass : kPasses) {
      Operands operands(machine);
      std::vector<Matmul> products;
      std::vector<Tensor> first;
      for (int copy = 0; copy < copies; ++copy) {
        const bool fresh = copy == 0;
        // dw is float32 whatever the operands are.
        const TensorType weights = pass == Pass::dw ? wide(w) : w;
        std::vector<Tensor> tensors;
        for (std::size_t i = 0; const TensorType& type : {x, weights, y}) {
          tensors.push_back(fresh ? operands.random(type) : operands.copy(first[i]));
          ++i;
        }
        if (fresh) first = tensors;
        products.push_back(
            device_product(p, pass, real, uses_tf32(machine), {tensors[0].data, tensors[1].data, tensors[2].data}));
      }
      const Rival rival{
          [&](int turn) { machine.cuda().matmul(products[static_cast<std::size_t>(turn % copies)], machine.stream()); },
          copies};
      const Timing timing = times_of(machine, seconds, {rival}).front();
      if (interrupted()) return rows;
      const Matmul& product = products.front();
      rows.push_back({.layer = p.layer,
                      .pass = name_of(pass),
                      .m = product.m,
                      .n = product.n,
                      .k = product.k,
                      .speeds = {{"device", product_flops(p) / timing.median}}});
    }
  }
  return rows;
}

}  // namespace isoloss::bench
