#include "kernels/ops/attention/cudnn.library.h"

#include <fmt/format.h>

#include <algorithm>

namespace isoloss {

CudnnLibrary::CudnnLibrary() {
#define ISOLOSS_CUDNN_FUNCTION(name) library.load(name, "cudnn" #name);
  ISOLOSS_CUDNN_FUNCTIONS(ISOLOSS_CUDNN_FUNCTION)
#undef ISOLOSS_CUDNN_FUNCTION
  const auto words = [](std::size_t version) {
    return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  };
  if (GetVersion() < kCudnnOldest) {
    throw CudaFailure(
        fmt::format("cuDNN {} or newer is needed, {} is installed", words(kCudnnOldest), words(GetVersion())));
  }
}

void CudnnLibrary::check(cudnnStatus_t status, const char* what) const {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> text{};
  GetLastErrorString(text.data(), text.size() - 1);
  std::string why = text.data();
  std::replace(why.begin(), why.end(), '\n', ' ');
  throw CudaFailure(fmt::format("cuDNN, {}: {}{}{}", what, GetErrorString(status), why.empty() ? "" : ": ", why));
}

}  // namespace isoloss
