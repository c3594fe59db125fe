/* Blocks of 32 weights: q4_0 to q8_0 and iq4_nl, a batch of 8 * LANES of them at a time.
 *
 * Without importance the legacy types take their scale from the extremes of the block (quantize_row_*_ref of
 * ggml-quants.c); with it they search as the super-blocks do (quantize_row_*_impl) and know the row's mean square.
 */
#ifndef EDGECONV_GGML_SMALL_BLOCKS_H
#define EDGECONV_GGML_SMALL_BLOCKS_H

#include "super_blocks.h"

enum { SMALL = 32 };

/* ---- scales from extremes ---- */

/* As x86 converts: what has no int32 becomes 0x80000000. A C cast would leave the value open. */
INLINE int truncated(float v) { return (v > -2147483648.0f) & (v < 2147483648.0f) ? (int)v : INT32_MIN; }

/* roundf: half away from zero. Adding the float below 1/2 and truncating does it for |v| < 2^23. */
INLINE int rounded(float v) { return truncated(v + copysignf(0x1.fffffep-2f, v)); }

/* Integer images of floats, in the order of the floats: compilers vectorize integer extremes. Its own inverse. */
INLINE int32_t key(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

/* The first element of largest magnitude; +0 if all are zero. */
INLINE float first_extreme(const float *x) {
    int32_t top = 0, first = SMALL;
    for (int i = 0; i < SMALL; i++) {
        int32_t magnitude = as_bits(x[i]) & 0x7fffffff;
        top = magnitude > top ? magnitude : top;
    }
    for (int i = 0; i < SMALL; i++) first = least(first, (as_bits(x[i]) & 0x7fffffff) == top ? i : SMALL);
    return top ? x[first] : 0;
}

/* Minimum and maximum. Of zeros of both signs the first counts, as it does for `<`. */
INLINE void ends(const float *x, float *low, float *high) {
    int32_t least_key = INT32_MAX, greatest_key = INT32_MIN;
    for (int i = 0; i < SMALL; i++) {
        int32_t k = key(as_bits(x[i]));
        least_key = k < least_key ? k : least_key;
        greatest_key = k > greatest_key ? k : greatest_key;
    }
    *low = as_float(key(least_key));
    *high = as_float(key(greatest_key));
    if (*low == 0)
        for (int i = SMALL - 1; i >= 0; i--) *low = x[i] == 0 ? x[i] : *low;
}

CLONES static void q8_0(batch *b, uint8_t *to) {
    for (int k = 0; k < b->count; k++, to += 34) {
        const float *x = b->x + k * SMALL;
        float d = fabsf(first_extreme(x)) / 127, inverse = d != 0 ? 1 / d : 0;
        put_half(to, stored_half(b, d));
        for (int i = 0; i < SMALL; i++) to[2 + i] = (uint8_t)rounded(x[i] * inverse);
    }
}

/* Levels around `zero` (q4_0: 8, q5_0: 16); the float before the conversion is positive for all that is finite. */
CLONES static void symmetric_by_extreme(batch *b, int zero, uint16_t *d) {
    for (int k = 0; k < b->count; k++) {
        const float *x = b->x + k * SMALL;
        float scale = first_extreme(x) / (float)-zero, inverse = scale != 0 ? 1 / scale : 0, shift = (float)zero + 0.5f;
        for (int i = 0; i < SMALL; i++)
            b->level[k * SMALL + i] = (uint8_t)least(2 * zero - 1, (int8_t)truncated(x[i] * inverse + shift));
        d[k] = stored_half(b, scale);
    }
}

CLONES static void affine_by_extremes(batch *b, int top, uint16_t *d, uint16_t *m) {
    for (int k = 0; k < b->count; k++) {
        const float *x = b->x + k * SMALL;
        float low, high;
        ends(x, &low, &high);
        float scale = (high - low) / (float)top, inverse = scale != 0 ? 1 / scale : 0;
        for (int i = 0; i < SMALL; i++)
            b->level[k * SMALL + i] = (uint8_t)least(top, (int8_t)truncated((x[i] - low) * inverse + 0.5f));
        d[k] = stored_half(b, scale);
        m[k] = stored_half(b, low);
    }
}

/* ---- scales from a search with importance; its own levels are the ones written ---- */

static void symmetric_by_search(batch *b, int top, uint16_t *d) {
    sub_scales s = {.d = {0}};
    fit_symmetric_batch(b, SMALL, top, 1, IMPORTANCE_NEAR_SIGMA, &s);
    symmetric_levels(b, &s, b->count, SMALL, top, NULL);
    for (int k = 0; k < b->count; k++) d[k] = stored_half(b, s.scale[k]);
}

static void affine_by_search(batch *b, int top, uint16_t *d, uint16_t *m) {
    affine_search search = {SMALL, top, -0.9f, 0.05f, 36, 0};
    sub_scales s = {.d = {0}};
    fit_affine_batch(b, &search, 1, IMPORTANCE_NEAR_SIGMA, &s);
    affine_levels(b, &s, b->count, SMALL, top);
    for (int k = 0; k < b->count; k++) {
        d[k] = stored_half(b, s.scale[k]);
        m[k] = stored_half(b, -s.min[k]);
    }
}

/* ---- the types ---- */

/* d, m (if any), the levels' fifth bits (if any), their low nibbles. */
CLONES static void pack_small(const batch *b, const uint16_t *d, const uint16_t *m, int five, uint8_t *to) {
    for (int k = 0; k < b->count; k++) {
        const uint8_t *level = b->level + k * SMALL;
        put_half(to, d[k]);
        to += 2;
        if (m) {
            put_half(to, m[k]);
            to += 2;
        }
        if (five) {
            uint32_t bits = 0;
            for (int i = 0; i < SMALL; i++) bits |= (uint32_t)((level[i] >> 4) & 1) << i;
            put_half(to, (uint16_t)(bits & 0xffff));
            put_half(to + 2, (uint16_t)(bits >> 16));
            to += 4;
        }
        pack_4bit(level, SMALL, 16, to);
        to += 16;
    }
}

static void symmetric_small(batch *b, int zero, uint8_t *to) {
    uint16_t d[BATCH / SMALL];
    (b->weighted ? symmetric_by_search : symmetric_by_extreme)(b, zero, d);
    pack_small(b, d, NULL, zero == 16, to);
}

static void affine_small(batch *b, int top, uint8_t *to) {
    uint16_t d[BATCH / SMALL], m[BATCH / SMALL];
    (b->weighted ? affine_by_search : affine_by_extremes)(b, top, d, m);
    pack_small(b, d, m, top == 31, to);
}

static void q4_0(batch *b, uint8_t *to) { symmetric_small(b, 8, to); }
static void q5_0(batch *b, uint8_t *to) { symmetric_small(b, 16, to); }
static void q4_1(batch *b, uint8_t *to) { affine_small(b, 15, to); }
static void q5_1(batch *b, uint8_t *to) { affine_small(b, 31, to); }

static void iq4_nl(batch *b, uint8_t *to) {
    sub_scales s = {.d = {0}};
    uint16_t d[BATCH / SMALL];
    if (b->weighted) sigma2_of_blocks(b, SMALL, 1, 2.0f / SMALL);
    fit_iq4_batch(b, 1, &s);
    for (int k = 0; k < b->count; k++) {
        d[k] = stored_half(b, s.scale[k]);
        iq4_levels_of(b->x + k * SMALL, SMALL, s.scale[k] != 0 ? 1 / s.scale[k] : 0, b->level + k * SMALL);
    }
    pack_small(b, d, NULL, 0, to);
}

#endif
