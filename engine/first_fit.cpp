#include "engine/first_fit.h"

#include <algorithm>
#include <bit>

namespace isoloss {

void RangeSet::add(std::size_t begin, std::size_t end) {
  // Those from `first` on end at or beyond `begin`, those from `last` on begin beyond `end`: between are what merges.
  const auto first =
      std::partition_point(ranges_.begin(), ranges_.end(), [&](Range range) { return range.end < begin; });
  if (first != ranges_.end() && first->begin <= begin && end <= first->end) return;
  const auto last = std::partition_point(first, ranges_.end(), [&](Range range) { return range.begin <= end; });
  if (first == last) {
    ranges_.insert(first, {begin, end});
    return;
  }
  *first = {std::min(begin, first->begin), std::max(end, std::prev(last)->end)};
  ranges_.erase(std::next(first), last);
}

std::size_t RangeSet::free_from(std::size_t from, std::size_t bytes, std::int64_t& looks) const {
  auto range = std::partition_point(ranges_.begin(), ranges_.end(), [&](Range other) { return other.end <= from; });
  for (++looks; range != ranges_.end() && range->begin < from + bytes; ++range, ++looks) from = range->end;
  return from;
}

FirstFit::FirstFit(int moments) : root_{1, 0, moments}, nodes_(2 * std::bit_ceil(static_cast<std::size_t>(moments))) {}

void FirstFit::collect(const Place& place, int first, int last) {
  if (place.beside(first, last)) return;
  const Node& node = nodes_[place.node];
  const bool inside = place.inside(first, last);
  const RangeSet& taken = inside ? node.sometimes : node.always;
  if (!taken.empty()) taken_.push_back(&taken);
  if (inside) return;
  collect(place.left(), first, last);
  collect(place.right(), first, last);
}

void FirstFit::take(const Place& place, int first, int last, std::size_t begin, std::size_t end) {
  if (place.beside(first, last)) return;
  Node& node = nodes_[place.node];
  node.sometimes.add(begin, end);
  if (place.inside(first, last)) {
    node.always.add(begin, end);
    return;
  }
  take(place.left(), first, last, begin, end);
  take(place.right(), first, last, begin, end);
}

std::size_t FirstFit::place(int first, int last, std::size_t bytes) {
  taken_.clear();
  collect(root_, first, last);
  std::size_t offset = 0;
  for (bool moved = bytes > 0; moved;) {
    const std::size_t before = offset;
    for (const RangeSet* taken : taken_) offset = taken->free_from(offset, bytes, looks_);
    moved = offset != before;
  }
  if (bytes > 0) take(root_, first, last, offset, offset + bytes);
  return offset;
}

}  // namespace isoloss
