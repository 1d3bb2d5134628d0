// Shared libraries that are opened when they are first needed: programs start without them, and without paying for
// them.
#pragma once

#include <dlfcn.h>

#include <initializer_list>
#include <string>

#include "kernels/cuda/device.h"

namespace isoloss {

/// Stays open until the process ends: what a GPU library keeps in the driver does not survive being unloaded.
class DynamicLibrary {
 public:
  /// The first of `names` that opens: by the system's search path, then in the folder of the toolkit that the program
  /// was built with, then where toolkits are as a rule. Throws CudaFailure with the loader's words about the first
  /// name.
  DynamicLibrary(std::initializer_list<const char*> names) {
    std::string why;
    for (const std::string folder : {"", ISOLOSS_CUDA_LIBRARIES "/", "/usr/local/cuda/lib64/"}) {
      for (const char* name : names) {
        handle_ = ::dlopen((folder + name).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle_ != nullptr) return;
        if (const char* text = ::dlerror(); why.empty() && text != nullptr) why = text;
      }
    }
    throw CudaFailure(why);
  }

  /// The address of a function; throws CudaFailure when the library is too old to have it.
  template <class Function>
  void load(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(::dlsym(handle_, name));
    if (function == nullptr) throw CudaFailure(std::string(name) + " is missing in the installed library");
  }

 private:
  void* handle_ = nullptr;
};

}  // namespace isoloss
