// One machine register of floats, and the functions the fast CPU kernels need on it.
//
// The width is fixed when the file is compiled: 16 with AVX-512, 8 with AVX2, else 4. Everything is written on the
// vector extensions of GCC and clang; intrinsics appear only where an instruction has no spelling there. Nothing
// depends on the width but the order of horizontal sums.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__) || defined(__SSE2__)
#include <immintrin.h>
#endif

namespace isoloss {

#if defined(__AVX512F__)
inline constexpr int kVecWidth = 16;
inline constexpr int kVecRegisters = 32;
#elif defined(__AVX2__)
inline constexpr int kVecWidth = 8;
inline constexpr int kVecRegisters = 16;
#else
inline constexpr int kVecWidth = 4;
inline constexpr int kVecRegisters = 16;
#endif

namespace detail {
template <class T, int lanes>
struct NativeVec {
  typedef T type __attribute__((vector_size(sizeof(T) * lanes)));
};
using NativeFloats = NativeVec<float, kVecWidth>::type;
using NativeInts = NativeVec<std::int32_t, kVecWidth>::type;
using NativeBits = NativeVec<std::uint32_t, kVecWidth>::type;
using NativeDoubles = NativeVec<double, kVecWidth>::type;
using NativeLongs = NativeVec<std::int64_t, kVecWidth>::type;
}  // namespace detail

/// One truth value a lane.
class VecMask {
 public:
#if defined(__AVX512F__)
  using Native = __mmask16;
  bool none() const { return native == 0; }
#else
  using Native = detail::NativeInts;
  bool none() const {
    std::int32_t any = 0;
    for (int lane = 0; lane < kVecWidth; ++lane) any |= native[lane];
    return any == 0;
  }
#endif
  explicit VecMask(Native value) : native(value) {}
  /// Lanes 0 … n-1 (n may be negative or beyond the width).
  static VecMask first(std::int64_t n) {
#if defined(__AVX512F__)
    return VecMask(n >= kVecWidth ? Native{0xffff} : n <= 0 ? Native{0} : static_cast<Native>((1u << n) - 1));
#else
    Native mask{};
    for (int lane = 0; lane < kVecWidth; ++lane) mask[lane] = lane < n ? -1 : 0;
    return VecMask(mask);
#endif
  }
  friend VecMask operator&(VecMask a, VecMask b) { return VecMask(static_cast<Native>(a.native & b.native)); }
  friend VecMask operator|(VecMask a, VecMask b) { return VecMask(static_cast<Native>(a.native | b.native)); }
  friend VecMask operator~(VecMask a) { return VecMask(static_cast<Native>(~a.native)); }

  Native native;
};

class Vec {
 public:
  static constexpr int width = kVecWidth;
  using Native = detail::NativeFloats;

  Vec() = default;
  Vec(float value) : native(value - Native{}) {}  // NOLINT: a number is a vector of equal lanes (x - 0 keeps -0)
  explicit Vec(Native value) : native(value) {}

  static Vec load(const float* from) {
    Vec v;
    std::memcpy(&v.native, from, sizeof v.native);
    return v;
  }
  /// The first `n` lanes (0 <= n <= width); the others are zero. Reads nothing beyond.
  static Vec load(const float* from, std::int64_t n) {
#if defined(__AVX512F__)
    return Vec(Native(_mm512_maskz_loadu_ps(VecMask::first(n).native, from)));
#elif defined(__AVX2__)
    return Vec(Native(_mm256_maskload_ps(from, __m256i(VecMask::first(n).native))));
#else
    Vec v(0.0f);
    for (std::int64_t lane = 0; lane < n; ++lane) v.native[lane] = from[lane];
    return v;
#endif
  }
  void store(float* to) const { std::memcpy(to, &native, sizeof native); }
  /// The first `n` lanes (0 <= n <= width). Writes nothing beyond.
  void store(float* to, std::int64_t n) const {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, VecMask::first(n).native, __m512(native));
#elif defined(__AVX2__)
    _mm256_maskstore_ps(to, __m256i(VecMask::first(n).native), __m256(native));
#else
    for (std::int64_t lane = 0; lane < n; ++lane) to[lane] = native[lane];
#endif
  }
  /// Stores past the caches, for what is not read again soon: does not fetch the line first, and throws nothing out.
  /// `to` is a multiple of the register. Other threads see it after finish_streams().
  void stream(float* to) const {
#if defined(__AVX512F__)
    _mm512_stream_ps(to, __m512(native));
#elif defined(__AVX2__)
    _mm256_stream_ps(to, __m256(native));
#elif defined(__SSE2__)
    _mm_stream_ps(to, __m128(native));
#else
    store(to);
#endif
  }
  float operator[](int lane) const { return native[lane]; }

  friend Vec operator+(Vec a, Vec b) { return Vec(a.native + b.native); }
  friend Vec operator-(Vec a, Vec b) { return Vec(a.native - b.native); }
  friend Vec operator*(Vec a, Vec b) { return Vec(a.native * b.native); }
  friend Vec operator/(Vec a, Vec b) { return Vec(a.native / b.native); }
  friend Vec operator-(Vec a) { return Vec(-a.native); }
  Vec& operator+=(Vec other) { return *this = *this + other; }
  Vec& operator-=(Vec other) { return *this = *this - other; }
  Vec& operator*=(Vec other) { return *this = *this * other; }

#if defined(__AVX512F__)
  friend VecMask operator<(Vec a, Vec b) { return compare<_CMP_LT_OQ>(a, b); }
  friend VecMask operator>(Vec a, Vec b) { return compare<_CMP_GT_OQ>(a, b); }
  friend VecMask operator<=(Vec a, Vec b) { return compare<_CMP_LE_OQ>(a, b); }
  friend VecMask operator>=(Vec a, Vec b) { return compare<_CMP_GE_OQ>(a, b); }
  friend VecMask operator==(Vec a, Vec b) { return compare<_CMP_EQ_OQ>(a, b); }
  friend VecMask operator!=(Vec a, Vec b) { return compare<_CMP_NEQ_UQ>(a, b); }
#else
  friend VecMask operator<(Vec a, Vec b) { return VecMask(a.native < b.native); }
  friend VecMask operator>(Vec a, Vec b) { return VecMask(a.native > b.native); }
  friend VecMask operator<=(Vec a, Vec b) { return VecMask(a.native <= b.native); }
  friend VecMask operator>=(Vec a, Vec b) { return VecMask(a.native >= b.native); }
  friend VecMask operator==(Vec a, Vec b) { return VecMask(a.native == b.native); }
  friend VecMask operator!=(Vec a, Vec b) { return VecMask(a.native != b.native); }
#endif

  Native native;

 private:
#if defined(__AVX512F__)
  template <int predicate>
  static VecMask compare(Vec a, Vec b) {
    return VecMask(_mm512_cmp_ps_mask(__m512(a.native), __m512(b.native), predicate));
  }
#endif
};

/// Before another thread is told that something was streamed.
inline void finish_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

/// a · b + c, rounded once where the machine can (the whole project allows contraction).
inline Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return Vec(Vec::Native(_mm512_fmadd_ps(__m512(a.native), __m512(b.native), __m512(c.native))));
#elif defined(__AVX2__) && defined(__FMA__)
  return Vec(Vec::Native(_mm256_fmadd_ps(__m256(a.native), __m256(b.native), __m256(c.native))));
#else
  return a * b + c;
#endif
}

/// Lane by lane: where `mask`, `a`, else `b`.
inline Vec select(VecMask mask, Vec a, Vec b) {
#if defined(__AVX512F__)
  return Vec(Vec::Native(_mm512_mask_blend_ps(mask.native, __m512(b.native), __m512(a.native))));
#else
  const detail::NativeInts bits =
      (mask.native & detail::NativeInts(a.native)) | (~mask.native & detail::NativeInts(b.native));
  return Vec(Vec::Native(bits));
#endif
}

/// The larger; where either is NaN, `b`: right when a NaN in `a` is not wanted or shows up elsewhere. That is what the
/// instruction does, but the compiler does not see it in a comparison under -fno-fast-math.
inline Vec max_number(Vec a, Vec b) {
#if defined(__AVX512F__)
  return Vec(Vec::Native(_mm512_maskz_max_ps(0xffff, __m512(a.native), __m512(b.native))));
#elif defined(__AVX2__)
  return Vec(Vec::Native(_mm256_max_ps(__m256(a.native), __m256(b.native))));
#elif defined(__SSE2__)
  return Vec(Vec::Native(_mm_max_ps(__m128(a.native), __m128(b.native))));
#else
  return select(a > b, a, b);
#endif
}
inline Vec min_number(Vec a, Vec b) {
#if defined(__AVX512F__)
  return Vec(Vec::Native(_mm512_maskz_min_ps(0xffff, __m512(a.native), __m512(b.native))));
#elif defined(__AVX2__)
  return Vec(Vec::Native(_mm256_min_ps(__m256(a.native), __m256(b.native))));
#elif defined(__SSE2__)
  return Vec(Vec::Native(_mm_min_ps(__m128(a.native), __m128(b.native))));
#else
  return select(a < b, a, b);
#endif
}
/// The larger; NaN where either is NaN.
inline Vec max(Vec a, Vec b) { return select(a != a, a, max_number(a, b)); }
inline Vec min(Vec a, Vec b) { return select(a != a, a, min_number(a, b)); }

namespace detail {
template <class T, int lanes>
using Half = typename NativeVec<T, lanes>::type;

inline Half<float, 4> add_halves(Half<float, 8> v) {
  return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
}
inline Half<float, 4> add_halves(Half<float, 4> v) { return v; }
#if defined(__AVX512F__)
inline Half<float, 4> add_halves(Half<float, 16> v) {
  return add_halves(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                    __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}
#endif
inline NativeInts ints(Vec v) { return NativeInts(v.native); }
inline Vec floats(NativeInts bits) { return Vec(Vec::Native(bits)); }
}  // namespace detail

/// Sum of the lanes by halving: lane i with lane i + width/2, and so on.
inline float sum(Vec v) {
  const detail::Half<float, 4> quarter = detail::add_halves(v.native);
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

namespace detail {
/// Every lane becomes operation(…) over all lanes, by exchanging ever nearer neighbours.
template <class Operation>
Vec over_lanes(Vec v, const Operation& operation) {
#if defined(__AVX512F__)
  v = operation(v,
                Vec(__builtin_shufflevector(v.native, v.native, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)));
  v = operation(v,
                Vec(__builtin_shufflevector(v.native, v.native, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)));
  v = operation(v,
                Vec(__builtin_shufflevector(v.native, v.native, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)));
  return operation(
      v, Vec(__builtin_shufflevector(v.native, v.native, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)));
#elif defined(__AVX2__)
  v = operation(v, Vec(__builtin_shufflevector(v.native, v.native, 4, 5, 6, 7, 0, 1, 2, 3)));
  v = operation(v, Vec(__builtin_shufflevector(v.native, v.native, 2, 3, 0, 1, 6, 7, 4, 5)));
  return operation(v, Vec(__builtin_shufflevector(v.native, v.native, 1, 0, 3, 2, 5, 4, 7, 6)));
#else
  v = operation(v, Vec(__builtin_shufflevector(v.native, v.native, 2, 3, 0, 1)));
  return operation(v, Vec(__builtin_shufflevector(v.native, v.native, 1, 0, 3, 2)));
#endif
}
}  // namespace detail

/// Largest lane; NaN when any lane is NaN.
inline float max_lane(Vec v) {
  return detail::over_lanes(v, [](Vec a, Vec b) { return max(a, b); })[0];
}

/// Largest lane when no lane is NaN, else some lane.
inline float max_number_lane(Vec v) {
  return detail::over_lanes(v, [](Vec a, Vec b) { return max_number(a, b); })[0];
}

inline Vec abs(Vec v) { return detail::floats(detail::ints(v) & 0x7fffffff); }
/// |magnitude| with the sign of `sign`.
inline Vec copy_sign(Vec magnitude, Vec sign) {
  return detail::floats((detail::ints(magnitude) & 0x7fffffff) | (detail::ints(sign) & static_cast<int>(0x80000000u)));
}

inline Vec sqrt(Vec v) {
#if defined(__AVX512F__)
  return Vec(Vec::Native(_mm512_maskz_sqrt_ps(0xffff, __m512(v.native))));
#elif defined(__AVX2__)
  return Vec(Vec::Native(_mm256_sqrt_ps(__m256(v.native))));
#else
  Vec root;
  for (int lane = 0; lane < kVecWidth; ++lane) root.native[lane] = __builtin_sqrtf(v.native[lane]);
  return root;
#endif
}

namespace detail {
/// c[0] + c[1]·x + … by Horner's rule.
template <int terms>
inline Vec polynomial(const float (&c)[terms], Vec x) {
  Vec value = c[terms - 1];
  for (int i = terms - 2; i >= 0; --i) value = fma(value, x, c[i]);
  return value;
}
/// v · 2^n for whole n in [-152, 128]; two steps, since 2^n alone need not be a float.
inline Vec scale_by_power(Vec v, Vec n) {
#if defined(__AVX512F__)
  return Vec(Vec::Native(_mm512_maskz_scalef_ps(0xffff, __m512(v.native), __m512(n.native))));
#else
  const NativeInts whole = __builtin_convertvector(n.native, NativeInts), half = whole >> 1;
  return v * floats((half + 127) << 23) * floats((whole - half + 127) << 23);
#endif
}
/// Adding and subtracting this rounds to the nearest whole number (|x| < 2^22).
inline constexpr float kRoundFloat = 0x1.8p23f;
inline constexpr double kRoundDouble = 0x1.8p52;
}  // namespace detail

// The polynomials below were fitted for this project (Chebyshev interpolation of the reduced function in 40 digits).
// Error bounds are measured against double by tests/kernels/vec.cpp.

/// e^x, at most 2 ulp; denormal results, infinities and NaN are right.
inline Vec exp(Vec x) {
  static constexpr float kTail[] = {0.5f, 0.1666657703f, 0.04166655466f, 0.008363173075f, 0.001392617612f};
  const Vec clamped = min_number(Vec(89.0f), max_number(Vec(-105.0f), x));  // a NaN in x is the second operand: kept
  const Vec n = fma(clamped, 1.4426950408889634f, detail::kRoundFloat) - detail::kRoundFloat;
  const Vec r = fma(n, -0x1.7f7d1cp-20f, fma(n, -0x1.62e4p-1f, clamped));
  const Vec power = fma(r * r, detail::polynomial(kTail, r), r) + 1.0f;
#if defined(__AVX512F__)
  return detail::scale_by_power(power, n);
#else
  return select(x == x, detail::scale_by_power(power, n), x);  // the exponent of a NaN is no whole number
#endif
}

/// Natural logarithm, at most 2 ulp; log 0 = -inf, negative and NaN give NaN.
inline Vec log(Vec x) {
  static constexpr float kTail[] = {0.3333333118f,  -0.2499999696f, 0.2000071575f,  -0.1666780232f, 0.1424905765f,
                                    -0.1242568733f, 0.1168541992f,  -0.1147973385f, 0.06971611471f};
  const VecMask denormal = x < Vec(0x1p-126f);
  const Vec normal = select(denormal, x * 0x1p23f, x);
  // Exponent and mantissa with the mantissa in [sqrt(1/2), sqrt(2)): 0x3f3504f3 is sqrt(1/2).
  const detail::NativeInts shifted = detail::ints(normal) - 0x3f3504f3;
  const Vec mantissa = detail::floats((shifted & 0x007fffff) + 0x3f3504f3);
  const Vec exponent = Vec(__builtin_convertvector(shifted >> 23, Vec::Native)) - select(denormal, 23.0f, 0.0f);
  const Vec f = mantissa - 1.0f, squared = f * f;
  const Vec small = fma(exponent, 0x1.7f7d1cp-20f, fma(squared * f, detail::polynomial(kTail, f), squared * -0.5f));
  const Vec value = fma(exponent, 0x1.62e4p-1f, small + f);
  const float infinity = __builtin_inff();
  const Vec special = select(x == Vec(0.0f), -infinity, select(x > Vec(0.0f), x, __builtin_nanf("")));
  return select((x > Vec(0.0f)) & (x < Vec(infinity)), value, special);
}

/// Hyperbolic tangent, at most 3 ulp.
inline Vec tanh(Vec x) {
  static constexpr float kSmall[] = {-0.3333333315f, 0.1333330015f,    -0.05395846163f,
                                     0.02176250291f, -0.008323187058f, 0.002269501684f};
  const Vec magnitude = abs(x), squared = x * x;
  const Vec small = fma(magnitude * squared, detail::polynomial(kSmall, squared), magnitude);
  const Vec large = 1.0f - Vec(2.0f) / (exp(magnitude * 2.0f) + 1.0f);
  return copy_sign(select(magnitude < Vec(0.625f), small, large), x);
}

/// Error function, absolute error at most 2e-7.
inline Vec erf(Vec x) {
  static constexpr float kSmall[] = {1.128379167f,    -0.3761263847f,    0.112837825f,     -0.02686543073f,
                                     0.005221031808f, -0.0008484080406f, 0.0001126595903f, -9.667044571e-6f};
  // -log(erfc x) on [1, 4]; beyond 4, erf x rounds to 1.
  static constexpr float kLarge[] = {-0.0004163292177f, 1.130675144f,   0.6309530298f,    0.1110550174f,
                                     -0.02709952329f,   0.00506494692f, -0.000685836683f, 6.229835325e-5f,
                                     -3.321684591e-6f,  7.58268197e-8f};
  const Vec magnitude = abs(x), squared = x * x;
  const Vec small = x * detail::polynomial(kSmall, squared);
  const Vec reach = min_number(Vec(4.0f), magnitude);  // a NaN is the second operand: kept
  const Vec large = 1.0f - exp(-detail::polynomial(kLarge, reach));
  return select(magnitude < Vec(1.0f), small, copy_sign(large, x));
}

/// Sine and cosine in radians, at most 2 ulp or 1e-7 absolute for |x| < 1e6 (the reduction is done in double).
inline void sine_cosine(Vec x, Vec& sine, Vec& cosine) {
  static constexpr float kSine[] = {-0.1666666666f, 0.008333331875f, -0.0001984008674f, 2.72499258e-6f};
  static constexpr float kCosine[] = {0.04166666466f, -0.001388830304f, 2.454794209e-5f};
  const detail::NativeDoubles angle = __builtin_convertvector(x.native, detail::NativeDoubles);
  const detail::NativeDoubles turns = angle * 0.6366197723675814 + detail::kRoundDouble;
  const detail::NativeDoubles rest = angle - (turns - detail::kRoundDouble) * 1.5707963267948966;
  const Vec r(__builtin_convertvector(rest, Vec::Native));
  const detail::NativeInts quadrant = __builtin_convertvector(detail::NativeLongs(turns) & 3, detail::NativeInts);
  const Vec squared = r * r;
  const Vec s = fma(r * squared, detail::polynomial(kSine, squared), r);
  const Vec c = fma(squared * squared, detail::polynomial(kCosine, squared), fma(squared, -0.5f, 1.0f));
  const Vec odd(__builtin_convertvector(quadrant & 1, Vec::Native));
  const VecMask swapped = odd > Vec(0.5f);
  const Vec first = select(swapped, c, s), second = select(swapped, s, c);
  sine = detail::floats(detail::ints(first) ^ ((quadrant & 2) << 30));
  cosine = detail::floats(detail::ints(second) ^ (((quadrant + 1) & 2) << 30));
}

}  // namespace isoloss
