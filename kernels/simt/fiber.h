// Stackful coroutines: the smallest context switch that carries a C++ call stack, with AddressSanitizer told about it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/sanitized.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(ISOLOSS_ADDRESS_SANITIZED)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace simt {

/// One side of a switch: a suspended stack.
struct Fiber {
  void* stack_pointer = nullptr;
  void* fake_stack = nullptr;  ///< AddressSanitizer's
  const void* bottom = nullptr;
  std::size_t size = 0;
#if !defined(__x86_64__)
  ucontext_t context;
#endif
};

#if defined(__x86_64__)
extern "C" void simt_switch(void** save, void* load);  // fiber.cpp
#endif

/// Makes `fiber` start in `entry` (which never returns) on the given stack. `colour` moves the first frame down, so
/// that the hot lines of a thousand stacks do not all fall into the same cache sets.
inline void start_fiber(Fiber& fiber, void* stack, std::size_t size, void (*entry)(), std::size_t colour) {
#if defined(ISOLOSS_ADDRESS_SANITIZED)
  // Abandoned frames leave their poison behind. They lie above the place where the stack was left for the last time,
  // which is far less than the whole stack.
#if defined(__x86_64__)
  const void* const lowest = fiber.stack_pointer != nullptr ? fiber.stack_pointer : static_cast<char*>(stack) + size;
#else
  const void* const lowest = stack;
#endif
  const auto left = static_cast<std::size_t>(static_cast<const char*>(lowest) - static_cast<const char*>(stack));
  __asan_unpoison_memory_region(lowest, size - left);
#endif
  fiber.bottom = stack, fiber.size = size, fiber.fake_stack = nullptr;
#if defined(__x86_64__)
  const auto top = (reinterpret_cast<std::uintptr_t>(stack) + size - colour) & ~std::uintptr_t{15};
  auto* word = reinterpret_cast<void**>(top);
  *--word = nullptr;  // entry's return address: the stack is aligned as after a call
  *--word = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < 6; ++saved) *--word = nullptr;
  fiber.stack_pointer = word;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = size - colour;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#endif
}

/// Suspends `from` and resumes `to`. `ends`: `from` will never be resumed.
inline void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool ends = false) {
#if defined(ISOLOSS_ADDRESS_SANITIZED)
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack, to.bottom, to.size);
#endif
#if defined(__x86_64__)
  simt_switch(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
#if defined(ISOLOSS_ADDRESS_SANITIZED)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

/// The first thing on a new stack. The very first fiber is entered from the host's stack, whose place `host` learns.
inline void fiber_entered([[maybe_unused]] Fiber& host) {
#if defined(ISOLOSS_ADDRESS_SANITIZED)
  const bool first = host.bottom == nullptr;
  __sanitizer_finish_switch_fiber(nullptr, first ? &host.bottom : nullptr, first ? &host.size : nullptr);
#endif
}

}  // namespace simt
