// Placement in the arena beside the plain search that it stands for, and how its work grows.
#include "engine/first_fit.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "kernels/base/philox.h"

using namespace isoloss;

namespace {

struct Piece {
  int first, last;
  std::size_t bytes, offset = 0;
};

/// The lowest offset that no piece before it with a common moment takes: one look at each of them, in order of offset.
std::size_t plain_first_fit(std::vector<Piece> before, const Piece& piece) {
  std::sort(before.begin(), before.end(), [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
  std::size_t offset = 0;
  for (const Piece& other : before) {
    if (other.last < piece.first || piece.last < other.first) continue;
    if (offset + piece.bytes <= other.offset) break;
    offset = std::max(offset, other.offset + other.bytes);
  }
  return offset;
}

/// A model as the planner sees it: forward values live until their turn in the backward pass, others for a moment, and
/// some layers differ in size.
std::vector<Piece> layered(int layers) {
  std::vector<Piece> pieces;
  for (const std::size_t bytes : {512, 384, 256, 128, 64}) {
    for (int layer = 0; layer < layers; ++layer) {
      const std::size_t size = bytes + (layer % 7 == 0 ? 64 : 0);
      pieces.push_back({2 * layer, 4 * layers - 2 * layer, size});
      pieces.push_back({4 * layers - 2 * layer, 4 * layers - 2 * layer + 1, size});
    }
  }
  std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.bytes > b.bytes; });
  return pieces;
}

}  // namespace

TEST_CASE("first fit: every piece stands where the plain search puts it") {
  Philox random(11);
  for (int trial = 0; trial < 60; ++trial) {
    CAPTURE(trial);
    const int moments = 1 + static_cast<int>(random.below(trial < 20 ? 9 : 300));
    FirstFit arena(moments);
    std::vector<Piece> pieces;
    for (int i = 0; i < 150; ++i) {
      const int a = static_cast<int>(random.below(static_cast<std::uint32_t>(moments)));
      const int b = static_cast<int>(random.below(static_cast<std::uint32_t>(moments)));
      // Of some sizes there are many, as in models, and now and then one is empty; in any order of size.
      Piece piece{std::min(a, b), std::max(a, b), random.below(4) == 0 ? random.below(50) : 8 * random.below(4)};
      if (trial % 2 == 0) piece.last = std::min(piece.last, piece.first + 2);
      piece.offset = arena.place(piece.first, piece.last, piece.bytes);
      REQUIRE(piece.offset == plain_first_fit(pieces, piece));
      if (piece.bytes > 0) pieces.push_back(piece);
    }
  }
}

TEST_CASE("first fit: a whole model as the plain search places it") {
  std::vector<Piece> placed;
  FirstFit arena(4 * 40 + 2);
  for (Piece piece : layered(40)) {
    piece.offset = arena.place(piece.first, piece.last, piece.bytes);
    REQUIRE(piece.offset == plain_first_fit(placed, piece));
    placed.push_back(piece);
  }
}

TEST_CASE("first fit: work grows with the layers, not with their square") {
  const auto looks = [](int layers) {
    FirstFit arena(4 * layers + 2);
    for (const Piece& piece : layered(layers)) arena.place(piece.first, piece.last, piece.bytes);
    return static_cast<double>(arena.looks());
  };
  // Eight times the layers take at most eight times the work, and as much more as the tree has become higher.
  CHECK(looks(2000) < 8 * 2 * looks(250));
  CHECK(looks(2000) < 200.0 * static_cast<double>(layered(2000).size()));
}
