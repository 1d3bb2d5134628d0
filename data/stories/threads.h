// The threads of which a story is plaited: each is a small chain of causes that begins, is interrupted by the others,
// and ends paragraphs later with what its beginning made necessary.
#pragma once

#include <memory>

#include "data/stories/tale.h"

namespace isoloss::stories {

class Thread {
 public:
  virtual ~Thread() = default;
  /// Tells the next step; true when the thread has ended.
  virtual bool advance(Tale& tale) = 0;
};

inline constexpr int kThreadKinds = 9;
/// A new thread of the kind, or nullptr where the tale lacks what it takes.
std::unique_ptr<Thread> make_thread(int kind, Tale& tale);

}  // namespace isoloss::stories
