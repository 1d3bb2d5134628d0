// Any bytes are either a tokenizer, which then round-trips every text and its own file, or refused with an input error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "data/tokenizer.h"
#include "kernels/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace isoloss;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    Tokenizer tokenizer(parse_tokenizer_json(text, "fuzz"), "fuzz");
    std::vector<std::uint32_t> ids;
    tokenizer.encode(text, ids);
    if (tokenizer.decode(ids) != text) std::abort();
    const Vocabulary again = parse_tokenizer_json(tokenizer_json(tokenizer.vocabulary()), "fuzz");
    if (again.tokens != tokenizer.vocabulary().tokens) std::abort();
  } catch (const Error& error) {
    if (error.exit_code() != 2) std::abort();
  }
  return 0;
}
