// `builtin:stories`: simple English narratives, made here, the same bytes on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace isoloss {

/// An endless sequence of stories of about 100 to 600 words: who has what, where things are, what was promised, how
/// many are left. What a sentence says follows from sentences paragraphs before it, so a model gains by knowing
/// positions, by looking far back and by having room for many facts. Integer arithmetic on Philox draws only: no
/// locale, no floating point, no library whose output could differ.
class StoryGenerator {
 public:
  explicit StoryGenerator(std::uint64_t seed = 0) : seed_(seed) {}
  /// The next story, ending in a newline; paragraphs are separated by an empty line. Valid until the next call.
  std::string_view next();

 private:
  std::uint64_t seed_, number_ = 0;
  std::string text_;
};

}  // namespace isoloss
