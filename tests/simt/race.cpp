#include "tests/simt/race.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kernels/simt/executor.h"
#include "tests/simt/source_line.h"

namespace simt {

namespace {

constexpr unsigned kWarp = 32;
constexpr std::size_t kMostPages = 2048;  // kept from one grid to the next; their cells take 200 MB

/// Code addresses are kept relative to this one, in half the bits.
const char* code_origin() { return reinterpret_cast<const char*>(&code_origin); }

const char* verb(Touch how) {
  switch (how) {
    case Touch::read:
      return "reads";
    case Touch::write:
      return "writes";
    case Touch::atomic:
      return "changes atomically";
    case Touch::copy_started:
      return "copies asynchronously to";
    case Touch::copy_landed:
      return "has copied asynchronously to";
  }
  return "";
}

}  // namespace

void RaceDetector::begin_grid() {
  grid_began_ = ++now_;
  race_.reset();
  blocks_.clear();
  if (pages_.size() > kMostPages) pages_.clear(), found_.fill({});
}

void RaceDetector::begin_block(unsigned threads) {
  block_began_ = barrier_ = ++now_;
  blocks_.push_back(now_);
  known_.assign(threads, {});
  shared_.clear();
}

void RaceDetector::shared_memory(const void* memory, std::size_t bytes, const char* name) {
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  shared_.push_back({begin, begin + bytes, name});
}

void RaceDetector::block_met() { barrier_ = ++now_; }

void RaceDetector::warp_met(unsigned warp, std::uint32_t lanes) {
  ++now_;
  std::array<Time, kWarp> all{};
  const auto each = [&](auto&& body) {
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((lanes >> lane & 1) != 0) body(lane, known_[warp * kWarp + lane]);
    }
  };
  each([&](unsigned, const auto& known) {
    for (unsigned lane = 0; lane < kWarp; ++lane) all[lane] = std::max(all[lane], known[lane]);
  });
  each([&](unsigned lane, const auto&) { all[lane] = now_; });
  each([&](unsigned, auto& known) { known = all; });
}

void RaceDetector::Granule::split(std::uintptr_t bytes) {
  for (std::uintptr_t from = kGranuleBytes; from > 0;) {
    from -= bytes;
    at(from) = at(from / shared * shared);
  }
  shared = bytes;
}

inline RaceDetector::Granule& RaceDetector::granule(std::uintptr_t at) {
  const std::uintptr_t number = at / kPageBytes;
  Found& found = found_[number % found_.size()];
  if (found.number != number) {
    std::unique_ptr<Page>& page = pages_[number];
    if (page == nullptr) page = std::make_unique<Page>();
    found = {number, page.get()};
  }
  return (*found.page)[at % kPageBytes / kGranuleBytes];
}

const RaceDetector::Shared* RaceDetector::shared_at(std::uintptr_t at) const {
  const auto found =
      std::ranges::find_if(shared_, [at](const Shared& shared) { return at >= shared.begin && at < shared.end; });
  return found == shared_.end() ? nullptr : &*found;
}

// Everything from here to `touch` runs for every access of every thread, and is inlined into it.

/// Whether `earlier` has to do with what happens now: of the same grid, and not of another block's shared memory that
/// lay in the same place.
inline bool RaceDetector::counts(const Access& earlier, std::uintptr_t at) const {
  return earlier.time >= block_began_ || (earlier.time >= grid_began_ && shared_at(at) == nullptr);
}

/// Whether nothing orders `earlier` before what the running thread does now.
inline bool RaceDetector::unordered(const Access& earlier, std::uintptr_t at, unsigned self) const {
  if (!counts(earlier, at)) return false;
  if (earlier.time < block_began_ || earlier.how == Touch::copy_started) return true;
  const unsigned other = earlier.thread;
  if (other == self || earlier.time < barrier_) return false;
  return other / kWarp != self / kWarp || earlier.time >= known_[self][other % kWarp];
}

/// Adds a read or an atomic to those of the cell, in the place of one that says no more than it or than another one.
inline void RaceDetector::keep(Cell& cell, const Access& access, std::uintptr_t at) {
  const auto warp = [](const Access& of) { return of.thread / kWarp; };
  Access* place = nullptr;
  bool from_other_block = false;
  for (Access& other : cell.others) {
    if (!counts(other, at) || (other.how == access.how && !unordered(other, at, access.thread))) {
      place = &other;
      break;
    }
    if (other.time >= block_began_) continue;
    if (from_other_block) place = &other;  // one is enough to race with this block
    from_other_block = true;
  }
  Access &first = cell.others.front(), &last = cell.others.back();
  // Readers in two warps are enough to race with any writer of the block.
  if (place == nullptr && warp(first) == warp(last) && warp(first) != warp(access)) place = &last;
  if (place != nullptr) *place = access;
}

/// Reports a race of `access` with what the cell remembers.
inline void RaceDetector::look(const Cell& touched, const Access& access, std::uintptr_t at) {
  if (unordered(touched.write, at, access.thread)) report(touched.write, access, at);
  const bool writes = access.how == Touch::write || access.how == Touch::copy_started;
  for (const Access& other : touched.others) {
    if ((writes || other.how != access.how) && unordered(other, at, access.thread)) report(other, access, at);
  }
}

/// An access to the bytes from `begin` to before `end` of the granule at `at`.
inline void RaceDetector::touch(Granule& granule, std::uintptr_t at, std::uintptr_t begin, std::uintptr_t end,
                                const Access& access) {
  const bool whole = begin == 0 && end == kGranuleBytes;
  const std::uintptr_t fits = whole ? kGranuleBytes : (begin | end) % kPieceBytes == 0 ? kPieceBytes : kCellBytes;
  if (granule.shared > fits) granule.split(fits);
  const bool writes = access.how == Touch::write || access.how == Touch::copy_started;
  for (std::uintptr_t byte = begin / kCellBytes * kCellBytes; byte < end; byte += granule.shared) {
    Cell& touched = granule.at(byte);
    if (access.how == Touch::copy_landed) {
      if (touched.write.how == Touch::copy_started && touched.write.thread == access.thread) touched.write = access;
      continue;
    }
    look(touched, access, at + byte);
    if (writes) {
      touched = {access, {}};
    } else {
      keep(touched, access, at + byte);
    }
  }
  if (whole && writes) granule.shared = kGranuleBytes;
}

void RaceDetector::touch(const void* memory, std::size_t bytes, Touch how, const void* code) {
  if (bytes == 0 || on_a_stack(memory)) return;
  const Access access{now_, static_cast<std::int32_t>(static_cast<const char*>(code) - code_origin()),
                      static_cast<std::uint16_t>(thread_number()), how};
  const auto begin = reinterpret_cast<std::uintptr_t>(memory), end = begin + bytes;
  for (std::uintptr_t at = begin / kGranuleBytes * kGranuleBytes; at < end; at += kGranuleBytes) {
    touch(granule(at), at, std::max(begin, at) - at, std::min(end - at, kGranuleBytes), access);
  }
}

std::string RaceDetector::described(const Access& access) const {
  const auto block = std::ranges::upper_bound(blocks_, access.time) - blocks_.begin() - 1;
  return fmt::format("thread {} of block {} {} it at {}", access.thread, block, verb(access.how),
                     source_line(code_origin() + access.code));
}

/// Keeps the first of a grid; those that follow mostly have the same cause.
void RaceDetector::report(const Access& earlier, const Access& now, std::uintptr_t at) {
  if (race_.has_value()) return;
  const Shared* const shared = shared_at(at);
  race_ = {earlier, now,
           shared != nullptr ? fmt::format("{} shared memory, byte {} of {}", shared->name, at - shared->begin,
                                           shared->end - shared->begin)
                             : fmt::format("global memory at {:#x}", at)};
}

std::string RaceDetector::end_grid() {
  if (!race_.has_value()) return "";
  const Race race = *std::exchange(race_, {});
  return fmt::format("race on {}: {}; {}; nothing orders the two", race.memory, described(race.earlier),
                     described(race.now));
}

}  // namespace simt
