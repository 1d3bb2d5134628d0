// Data races of CUDA kernels, whatever the order in which they happened to run: two threads touch the same bytes, one
// of them writes, and nothing orders the two.
//
// What orders accesses: __syncthreads for all threads of a block, __syncwarp for the lanes that meet in it, the end of
// a kernel for everything. Shuffles, votes and matrix instructions exchange registers and order no memory (CUDA C++
// Programming Guide, "Warp Vote Functions", "Warp Shuffle Functions"). Blocks are never ordered. Atomics do not race
// with atomics, and order nothing. The target of a cp.async is being written until its thread has waited.
//
// Times. The executor runs one thread after the other, so a counter that moves on at every barrier is a clock: an
// access happened before another one exactly when it is older than the last meeting that both threads took part in,
// directly or through others. Those meetings are the block's last barrier, and inside a warp what `known_` holds.
//
// Memory is told apart by two bytes, the smallest element of any kernel. Bytes that were touched together since they
// were last written together have one history, which is kept once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernels/simt/observer.h"

namespace simt {

class RaceDetector final : public Observer {
 public:
  void begin_grid() override;
  void begin_block(unsigned threads) override;
  void shared_memory(const void* memory, std::size_t bytes, const char* name) override;
  void block_met() override;
  void warp_met(unsigned warp, std::uint32_t lanes) override;
  void touch(const void* memory, std::size_t bytes, Touch how, const void* code) override;
  std::string end_grid() override;

 private:
  using Time = std::uint32_t;

  struct Access {
    Time time = 0;          ///< 0: there was none
    std::int32_t code = 0;  ///< from this program's own code
    std::uint16_t thread = 0;
    Touch how = Touch::read;
  };
  /// The last write, and the reads and atomics since then that nothing orders among each other, or as many of them as
  /// are enough to find a race (see `keep`).
  struct Cell {
    Access write;
    std::array<Access, 3> others;
  };
  static constexpr std::uintptr_t kCellBytes = 2, kPieceBytes = 4, kGranuleBytes = 16, kPageBytes = 4096;
  /// Sixteen bytes. Those that were always touched together share the first of their cells.
  struct Granule {
    std::array<Cell, kGranuleBytes / kCellBytes> cells;
    std::uintptr_t shared = kGranuleBytes;  ///< bytes to a cell: 16, 4 or 2

    Cell& at(std::uintptr_t byte) { return cells[byte / kCellBytes]; }
    void split(std::uintptr_t bytes);
  };
  using Page = std::array<Granule, kPageBytes / kGranuleBytes>;
  struct Shared {
    std::uintptr_t begin, end;
    const char* name;
  };

  Granule& granule(std::uintptr_t at);
  const Shared* shared_at(std::uintptr_t at) const;
  bool counts(const Access& earlier, std::uintptr_t at) const;
  bool unordered(const Access& earlier, std::uintptr_t at, unsigned self) const;
  void keep(Cell& cell, const Access& access, std::uintptr_t at);
  void look(const Cell& touched, const Access& access, std::uintptr_t at);
  void touch(Granule& granule, std::uintptr_t at, std::uintptr_t begin, std::uintptr_t end, const Access& access);
  void report(const Access& earlier, const Access& now, std::uintptr_t at);
  std::string described(const Access& access) const;

  Time now_ = 1, grid_began_ = 1, block_began_ = 1, barrier_ = 1;
  std::vector<std::array<Time, 32>> known_;  ///< by thread, by lane of its warp: the last meeting with it
  std::vector<Time> blocks_;                 ///< when each block of the grid began
  std::vector<Shared> shared_;               ///< of the running block
  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;
  struct Found {
    std::uintptr_t number = ~std::uintptr_t{0};
    Page* page = nullptr;
  };
  std::array<Found, 64> found_;  ///< pages looked up lately
  struct Race {
    Access earlier, now;
    std::string memory;
  };
  std::optional<Race> race_;  ///< the first of the grid
};

}  // namespace simt
