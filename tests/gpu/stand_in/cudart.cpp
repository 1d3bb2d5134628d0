// A CUDA runtime without a GPU, for kernels/gpu and everything above it: memory is the heap and kernels run on the host
// executor, but streams are asynchronous, and the rules of capture, events and memory hold. What breaks one gets the
// error that CUDA has for it, and the program ends with exit code 1 whatever becomes of that error.
//
// Work waits in its stream until somebody waits for it (the last moment that CUDA allows), so whatever is read, changed
// or given back too early shows. With ISOLOSS_STAND_IN=early it runs at the first call after it (the earliest), with
// mixed that holds for every other stream, so that they overtake each other wherever no event keeps them apart.
#include <cuda_runtime.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/simt/host_device.h"
#include "tests/gpu/stand_in/runtime.h"

namespace {

using Work = std::function<void()>;

struct Event;

/// What simt::launch() puts kernels on: as one that always captures it only collects them.
struct Stream : simt::HostStream {
  explicit Stream(bool is_early) : early(is_early) { capturing = true; }
  const bool early;
  std::uint64_t done = 0;  ///< of all that was ever put on it; `recorded` is the rest
  bool captures = false;   ///< `recorded` belongs to a graph
  std::vector<Event*> external;

  std::uint64_t end() const { return done + recorded.size(); }
  void run_until(std::uint64_t ticket) {
    while (done < ticket && !recorded.empty()) {
      const Work work = std::move(recorded.front());
      recorded.erase(recorded.begin());
      done += 1;
      work();
    }
  }
};

struct Event {
  bool timing = true, in_capture = false;
  Stream* stream = nullptr;  ///< null: never recorded
  std::uint64_t ticket = 0;
  double milliseconds = 0;
  bool passed() const { return stream == nullptr || stream->done >= ticket; }
};

struct Graph {
  std::vector<Work> work;
  std::vector<Event*> external;
};
using Executable = std::shared_ptr<Graph>;

enum class Memory { pageable, pinned, device };

/// Everything that exists, and what was done wrong.
struct World {
  std::map<const std::byte*, std::size_t> device, pinned;
  std::set<Stream*> streams;
  int broken = 0;
  const std::string order = std::getenv("ISOLOSS_STAND_IN") != nullptr ? std::getenv("ISOLOSS_STAND_IN") : "late";
  int streams_made = 0;

  ~World() {
    if (broken == 0) return;
    std::fflush(stdout);
    std::fprintf(stderr, "stand-in: %d rules of CUDA were broken\n", broken);
    std::_Exit(1);
  }
  bool captures() const {
    for (const Stream* stream : streams) {
      if (stream->captures) return true;
    }
    return false;
  }
};
World world;

cudaError_t broken(cudaError_t error, const std::string& rule) {
  stand_in_broken(rule.c_str());
  return error;
}
/// For calls that a capture of their thread does not allow.
cudaError_t unless_capturing(const char* call) {
  if (!world.captures()) return cudaSuccess;
  return broken(cudaErrorStreamCaptureUnsupported, std::string(call) + " while a stream captures");
}

bool holds(const std::map<const std::byte*, std::size_t>& pieces, const void* memory, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(memory);
  auto piece = pieces.upper_bound(begin);
  if (piece == pieces.begin()) return false;
  --piece;
  return begin < piece->first + piece->second && begin + bytes <= piece->first + piece->second;
}
Memory memory_of(const void* memory, std::size_t bytes) {
  if (holds(world.device, memory, bytes)) return Memory::device;
  return holds(world.pinned, memory, bytes) ? Memory::pinned : Memory::pageable;
}

Stream& stream_of(cudaStream_t stream) { return *static_cast<Stream*>(reinterpret_cast<simt::HostStream*>(stream)); }
Event& event_of(cudaEvent_t event) { return *reinterpret_cast<Event*>(event); }

void put(Stream& stream, Work work) {
  stream.give(std::move(work));
  if (stream.early && !stream.captures) stream.run_until(stream.end());
}

cudaError_t allocate(std::map<const std::byte*, std::size_t>& pieces, void** memory, std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  if (::posix_memalign(memory, kAlignment, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*memory, 0xFF, bytes);  // nobody may count on zeros
  pieces[static_cast<const std::byte*>(*memory)] = bytes;
  return cudaSuccess;
}
cudaError_t release(std::map<const std::byte*, std::size_t>& pieces, void* memory, const char* call) {
  if (memory == nullptr) return cudaSuccess;
  if (const cudaError_t error = unless_capturing(call); error != cudaSuccess) return error;
  for (Stream* stream : world.streams) stream->run_until(stream->end());  // as CUDA does
  if (pieces.erase(static_cast<const std::byte*>(memory)) == 0) {
    return broken(cudaErrorInvalidValue, std::string(call) + " of what is no such memory");
  }
  std::free(memory);
  return cudaSuccess;
}

double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

cudaError_t record(Event& event, Stream& stream) {
  event.in_capture = stream.captures;
  put(stream, [&event] { event.milliseconds = now(); });
  event.stream = &stream, event.ticket = stream.end();
  return cudaSuccess;
}

}  // namespace

void stand_in_broken(const char* rule) {
  world.broken += 1;
  std::fprintf(stderr, "stand-in: %s\n", rule);
}
void stand_in_enqueue(void* stream, void (*work)(void*), void* argument) {
  put(stream_of(static_cast<cudaStream_t>(stream)), [=] { work(argument); });
}
bool stand_in_on_device(const void* memory, unsigned long long bytes) {
  return memory_of(memory, bytes) == Memory::device;
}

extern "C" {

// --- The device ---
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int) {
  return std::snprintf(text, static_cast<std::size_t>(size), "0000:00:00.0"), cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "stand-in");
  properties->major = ISOLOSS_STAND_IN_ARCHITECTURE / 10, properties->minor = ISOLOSS_STAND_IN_ARCHITECTURE % 10;
  properties->l2CacheSize = 4096;  // as small as the shapes that tests can afford
  properties->totalGlobalMem = std::size_t{4} << 30;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = *free = std::size_t{4} << 30;
  for (const auto& [memory, bytes] : world.device) *free -= bytes;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  static thread_local std::string text;
  return (text = "CUDA error " + std::to_string(error)).c_str();
}

// --- Memory ---
cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const cudaError_t error = unless_capturing("cudaMalloc");
  return error != cudaSuccess ? error : allocate(world.device, memory, bytes);
}
cudaError_t cudaFree(void* memory) { return release(world.device, memory, "cudaFree"); }
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  const cudaError_t error = unless_capturing("cudaMallocHost");
  return error != cudaSuccess ? error : allocate(world.pinned, memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) { return release(world.pinned, memory, "cudaFreeHost"); }

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t on) {
  Stream& stream = stream_of(on);
  const Memory target = memory_of(to, bytes), source = memory_of(from, bytes);
  const bool within = target == Memory::device && source == Memory::device;
  if (kind != cudaMemcpyDefault && !(kind == cudaMemcpyDeviceToDevice && within)) {
    return broken(cudaErrorInvalidValue, "cudaMemcpyAsync of another kind than its memory's");
  }
  if (stream.captures && !within) {
    return broken(cudaErrorStreamCaptureUnsupported, "a captured copy that every replay takes from or to the host");
  }
  if (source == Memory::pageable) {  // taken before the call returns
    const auto* begin = static_cast<const std::byte*>(from);
    put(stream,
        [to, staged = std::vector<std::byte>(begin, begin + bytes)] { std::memcpy(to, staged.data(), staged.size()); });
  } else {
    put(stream, [=] { std::memcpy(to, from, bytes); });
  }
  if (target == Memory::pageable) stream.run_until(stream.end());  // there when the call returns
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t bytes, cudaStream_t on) {
  if (memory_of(to, bytes) != Memory::device) return broken(cudaErrorInvalidValue, "cudaMemsetAsync of host memory");
  put(stream_of(on), [=] { std::memset(to, byte, bytes); });
  return cudaSuccess;
}

// --- Streams ---
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* made, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return broken(cudaErrorInvalidValue, "a stream that the default stream blocks");
  const bool odd = world.streams_made++ % 2 != 0;
  auto* const stream = new Stream(world.order == "early" || (world.order == "mixed" && odd));
  world.streams.insert(stream);
  *made = reinterpret_cast<cudaStream_t>(static_cast<simt::HostStream*>(stream));
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t on) {
  Stream* const stream = &stream_of(on);
  if (stream->captures) return broken(cudaErrorStreamCaptureUnsupported, "cudaStreamDestroy in a capture");
  stream->run_until(stream->end());
  world.streams.erase(stream);  // not deleted: events name it
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t on) {
  if (const cudaError_t error = unless_capturing("cudaStreamSynchronize"); error != cudaSuccess) return error;
  stream_of(on).run_until(stream_of(on).end());
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t on, cudaEvent_t waited, unsigned) {
  Stream& stream = stream_of(on);
  const Event& event = event_of(waited);
  if (stream.captures || event.in_capture) {
    return broken(cudaErrorStreamCaptureIsolation, "a wait across the border of a capture");
  }
  if (event.stream == nullptr) return cudaSuccess;
  put(stream, [other = event.stream, ticket = event.ticket] { other->run_until(ticket); });
  return cudaSuccess;
}

// --- Events ---
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = reinterpret_cast<cudaEvent_t>(new Event{.timing = (flags & cudaEventDisableTiming) == 0});
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t destroyed) {
  Event* const event = &event_of(destroyed);
  if (!event->passed()) event->stream->run_until(event->ticket);  // CUDA keeps it until then
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return record(event_of(event), stream_of(stream));
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t recorded, cudaStream_t on, unsigned flags) {
  Event& event = event_of(recorded);
  Stream& stream = stream_of(on);
  if (flags != cudaEventRecordExternal) return record(event, stream);
  if (!stream.captures) return broken(cudaErrorInvalidValue, "an external record outside a capture");
  stream.external.push_back(&event);
  event.in_capture = false;
  put(stream, [&event] { event.milliseconds = now(); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t waited) {
  const Event& event = event_of(waited);
  if (event.in_capture) return broken(cudaErrorCapturedEvent, "cudaEventSynchronize of a captured event");
  if (!event.passed()) event.stream->run_until(event.ticket);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* elapsed, cudaEvent_t from, cudaEvent_t to) {
  const Event &begin = event_of(from), &end = event_of(to);
  if (!begin.timing || !end.timing || begin.stream == nullptr || end.stream == nullptr) {
    return broken(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime of an event without a time");
  }
  if (begin.in_capture || end.in_capture) return broken(cudaErrorCapturedEvent, "the time of a captured event");
  if (!begin.passed() || !end.passed()) return broken(cudaErrorNotReady, "cudaEventElapsedTime before the event");
  *elapsed = static_cast<float>(end.milliseconds - begin.milliseconds);
  return cudaSuccess;
}

// --- Graphs ---
cudaError_t cudaStreamBeginCapture(cudaStream_t on, cudaStreamCaptureMode) {
  Stream& stream = stream_of(on);
  if (stream.captures) return broken(cudaErrorIllegalState, "a capture within a capture");
  stream.run_until(stream.end());
  stream.captures = true;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t on, cudaStreamCaptureStatus* status) {
  *status = stream_of(on).captures ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t on, cudaGraph_t* graph) {
  Stream& stream = stream_of(on);
  if (!stream.captures) return broken(cudaErrorIllegalState, "the end of no capture");
  *graph =
      reinterpret_cast<cudaGraph_t>(new Graph{std::exchange(stream.recorded, {}), std::exchange(stream.external, {})});
  stream.captures = false;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = reinterpret_cast<cudaGraphExec_t>(new Executable(new Graph(*reinterpret_cast<Graph*>(graph))));
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete reinterpret_cast<Graph*>(graph), cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  return delete reinterpret_cast<Executable*>(graph), cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t launched, cudaStream_t on) {
  Stream& stream = stream_of(on);
  if (stream.captures) return broken(cudaErrorStreamCaptureUnsupported, "cudaGraphLaunch in a capture");
  const Executable graph = *reinterpret_cast<Executable*>(launched);
  put(stream, [graph] {
    for (const Work& work : graph->work) work();
  });
  for (Event* event : graph->external) event->stream = &stream, event->ticket = stream.end();
  return cudaSuccess;
}

}  // extern "C"
