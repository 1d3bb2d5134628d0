// The bugs of mutations.inc as data.
#pragma once

#include <string_view>

namespace simt {

struct Mutation {
  std::string_view name, build, source, cases, report, file, from, to;
};

inline constexpr Mutation kMutations[] = {
#define MUTATION(name, build, source, cases, report, file, from, to) \
  {#name, #build, source, cases, report, file, from, to},
#include "tests/simt/mutations/mutations.inc"
#undef MUTATION
};

}  // namespace simt
