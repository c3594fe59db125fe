/* Lanes: LANES independent sub-blocks worked on side by side, one a SIMD lane.
 *
 * A value of LANES sub-blocks is an array float[LANES]; `EACH` runs a statement for every lane, and the compiler turns
 * it into vector instructions. Sums run over the elements of a sub-block in their order, in every lane, so that each
 * result has the bits of a scalar loop. The build forbids fused multiply-add (-ffp-contract=off) for the same reason.
 */
#ifndef EDGECONV_GGML_LANES_H
#define EDGECONV_GGML_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(CLONES) /* a test compiles for one level */
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

enum { LOG2_LANES = 5, LANES = 1 << LOG2_LANES };
#define EACH for (int j = 0; j < LANES; j++)

#if defined(__GNUC__)
#define ALIGNED __attribute__((aligned(64)))
#else
#define ALIGNED
#endif
typedef ALIGNED float lanes[LANES];
typedef ALIGNED int32_t ilanes[LANES];

INLINE float as_float(int32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
INLINE int32_t as_bits(float f) { int32_t i; memcpy(&i, &f, 4); return i; }
INLINE int least(int a, int b) { return a < b ? a : b; }
INLINE int clamp(int v, int low, int high) { v = v < low ? low : v; return v > high ? high : v; }

/* Adding 1.5 * 2^23 leaves the nearest integer (half to even) in the low bits of the float. */
static const float MAGIC = 12582912.0f;
enum { MAGIC_BITS = 0x4b400000 };
static const float NEAREST_LIMIT = 4194303.0f; /* beyond it `nearest` wraps, as ggml's nearest_int does */

INLINE int nearest(float v) { return (as_bits(v + MAGIC) & 0x007fffff) - 0x00400000; }

/* (float)clamp(nearest(v), low, high) for |v| <= NEAREST_LIMIT, in fewer instructions. */
INLINE float nearest_clamped(float v, int low, int high) {
    return as_float(clamp(as_bits(v + MAGIC), MAGIC_BITS + low, MAGIC_BITS + high)) - MAGIC;
}

/* float32 -> float16, half to even; NaN becomes a quiet NaN, what is too large infinity. */
INLINE uint16_t to_half(float value) {
    uint32_t bits = (uint32_t)as_bits(value), magnitude = bits & 0x7fffffffu;
    uint32_t normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1)) >> 13;
    uint32_t subnormal = (uint32_t)as_bits(as_float((int32_t)magnitude) + 0.5f) - 0x3f000000u; /* unit of .5f: 2^-24 */
    uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x47800000u ? (magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u) : half;
    return (uint16_t)(half | ((bits >> 16) & 0x8000u));
}

INLINE float from_half(uint16_t half) {
    uint32_t magnitude = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t normal = (magnitude << 13) + 0x38000000u;
    uint32_t subnormal = (uint32_t)as_bits((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t bits = magnitude < 0x0400u ? subnormal : normal;
    bits = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : bits;
    return as_float((int32_t)(bits | sign));
}

INLINE int is_finite(float v) { return (as_bits(v) & 0x7f800000) != 0x7f800000; }
INLINE int half_is_finite(uint16_t half) { return (half & 0x7c00) != 0x7c00; }

/* x [LANES, n] -> lane form [n][LANES], n <= 32. Interleaving the two halves of a sequence log2(LANES) times transposes
 * it, and compilers have instructions for that. */
CLONES static void to_lanes(const float *x, int n, lanes *out) {
    float buffer[2][LANES * 32];
    for (int pass = 0, half = LANES * n / 2; pass < LOG2_LANES; pass++) {
        float *to = pass == LOG2_LANES - 1 ? out[0] : buffer[pass % 2];
        for (int k = 0; k < half; k++) {
            to[2 * k] = x[k];
            to[2 * k + 1] = x[k + half];
        }
        x = to;
    }
}

#endif
