// What the stand-in's cuBLASLt, a shared library of its own, needs of its CUDA runtime.
#pragma once

extern "C" {
/// Puts work(argument) on a stream, or into the graph that the stream captures.
void stand_in_enqueue(void* stream, void (*work)(void*), void* argument);
/// Whether all `bytes` from `memory` on lie in one piece of device memory.
bool stand_in_on_device(const void* memory, unsigned long long bytes);
/// Notes that a rule of CUDA was broken: the program ends with exit code 1.
void stand_in_broken(const char* rule);
}
