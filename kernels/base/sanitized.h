// Which sanitizer a file is compiled for. GCC defines a macro of its own for each, clang answers when asked.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define ISOLOSS_ADDRESS_SANITIZED
#endif
#if defined(__SANITIZE_THREAD__)
#define ISOLOSS_THREAD_SANITIZED
#endif
#if defined(__clang__)
#if __has_feature(address_sanitizer) && !defined(ISOLOSS_ADDRESS_SANITIZED)
#define ISOLOSS_ADDRESS_SANITIZED
#endif
#if __has_feature(thread_sanitizer) && !defined(ISOLOSS_THREAD_SANITIZED)
#define ISOLOSS_THREAD_SANITIZED
#endif
#endif
