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

inline constexpr int kObjectThreads = 5, kPeopleThreads = 4;
/// A new thread, `kind` below kObjectThreads; nullptr where the tale has no object left for it.
std::unique_ptr<Thread> make_object_thread(int kind, Tale& tale);
/// A new thread, `kind` below kPeopleThreads.
std::unique_ptr<Thread> make_people_thread(int kind, Tale& tale);

}  // namespace isoloss::stories
