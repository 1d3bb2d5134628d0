// Places pieces of memory, each with a lifetime, into one arena at the lowest offset that is free all its life long.
//
// The moments are the leaves of a binary tree. A node keeps the offsets that are taken at all of its moments, as far as
// its ancestors do not say so already, and those taken at any of them; both as disjoint ranges, so that what lies side
// by side is looked at once. A piece then asks a few nodes for each of log(moments), not every piece before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace isoloss {

/// Disjoint ranges [begin, end) in order; neighbours that touch are one.
class RangeSet {
 public:
  void add(std::size_t begin, std::size_t end);
  /// The lowest offset >= `from` where `bytes` lie outside all ranges. Counts the ranges that it looks at.
  std::size_t free_from(std::size_t from, std::size_t bytes, std::int64_t& looks) const;
  bool empty() const { return ranges_.empty(); }

 private:
  struct Range {
    std::size_t begin, end;
  };
  std::vector<Range> ranges_;
};

class FirstFit {
 public:
  /// Lifetimes are within [0, moments); moments >= 1.
  explicit FirstFit(int moments);

  /// Takes `bytes` for the moments first … last at the lowest offset that is free in all of them, and returns it.
  std::size_t place(int first, int last, std::size_t bytes);

  /// Ranges that all calls of place() have looked at: how much work it was, the same on every machine.
  std::int64_t looks() const { return looks_; }

 private:
  struct Node {
    RangeSet always, sometimes;
  };
  /// A node and its moments [begin, end).
  struct Place {
    std::size_t node;
    int begin, end;
    Place left() const { return {2 * node, begin, begin + (end - begin) / 2}; }
    Place right() const { return {2 * node + 1, begin + (end - begin) / 2, end}; }
    bool beside(int first, int last) const { return last < begin || end <= first; }
    bool inside(int first, int last) const { return first <= begin && end - 1 <= last; }
  };
  void collect(const Place& place, int first, int last);
  void take(const Place& place, int first, int last, std::size_t begin, std::size_t end);

  Place root_;
  std::vector<Node> nodes_;             ///< children of i: 2 · i and 2 · i + 1; the root is 1
  std::vector<const RangeSet*> taken_;  ///< what the current call has to keep clear of
  std::int64_t looks_ = 0;
};

}  // namespace isoloss
