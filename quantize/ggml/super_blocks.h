/* Super-blocks of 256 weights: q2_k to q6_k and iq4_xs, a batch of LANES of them at a time.
 *
 * Layouts: ggml-common.h of llama.cpp; arithmetic: quantize_row_*_ref (no importance) and quantize_row_*_impl (with
 * it) of ggml-quants.c, which differ in the search, not only in its weights.
 */
#ifndef EDGECONV_GGML_SUPER_BLOCKS_H
#define EDGECONV_GGML_SUPER_BLOCKS_H

#include "batch.h"

/* ---- scales and mins of sub-blocks as small integers times one float16 (q2_k, q4_k, q5_k) ---- */

typedef struct {
    uint8_t scale[SUBS], min[SUBS];
    uint16_t d[LANES], dmin[LANES];
} sub_levels;

/* Divides by the largest of n values; levels above `most` (a negative one wraps) become `most`. */
static uint16_t levels_by_max(batch *b, int n, int top, int most, const float *value, uint8_t *level) {
    float max = 0;
    for (int i = 0; i < n; i++) max = value[i] > max ? value[i] : max;
    float inverse = max > 0 ? (float)top / max : 0;
    for (int i = 0; i < n; i++) level[i] = (uint8_t)least(most, nearest(inverse * value[i]) & 255);
    return stored_half(b, max / (float)top);
}

static void levels_by_weight(batch *b, int n, int top, int most, const float *value, const float *weight,
                             uint8_t *level, uint16_t *d) {
    lanes x[16], w[16], scale;
    ilanes found[16];
    to_lanes(value, n, x);
    to_lanes(weight, n, w);
    fit_positive(n, top, x, w, found, scale);
    for (int j = 0; j < b->count; j++) {
        d[j] = stored_half(b, scale[j]);
        for (int i = 0; i < n; i++) level[j * n + i] = (uint8_t)least(most, found[i][j]);
    }
}

static void find_affine(batch *b, int per_block, const affine_search *plain, weighing how, int top, int most,
                        sub_scales *s, sub_levels *l) {
    int n = SUPER / per_block;
    if (b->weighted) {
        sigma2_of_blocks(b, SUPER, n == 16 ? 1 : 2, 1.0f / SUPER);
        affine_search weighted = {n, plain->top, -0.9f, 0.05f, 36, 0};
        fit_affine_batch(b, &weighted, per_block, IMPORTANCE_NEAR_SIGMA, s);
        levels_by_weight(b, per_block, top, most, s->scale, s->weight, l->scale, l->d);
        levels_by_weight(b, per_block, top, most, s->min, s->weight, l->min, l->dmin);
        return;
    }
    fit_affine_batch(b, plain, per_block, how, s);
    for (int j = 0; j < b->count; j++) {
        l->d[j] = levels_by_max(b, per_block, top, most, s->scale + j * per_block, l->scale + j * per_block);
        l->dmin[j] = levels_by_max(b, per_block, top, most, s->min + j * per_block, l->min + j * per_block);
    }
}

/* ---- packing ---- */

/* Four levels of 2 bits a byte, 32 apart; `shift` picks the two bits. */
INLINE void pack_2bit(const uint8_t *level, int shift, uint8_t *q) {
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 32; i++) {
            const uint8_t *l = level + h * 128 + i;
            q[h * 32 + i] = (uint8_t)(((l[0] >> shift) & 3) | ((l[32] >> shift) & 3) << 2 | ((l[64] >> shift) & 3) << 4 |
                                      ((l[96] >> shift) & 3) << 6);
        }
}

/* Two levels' low nibbles a byte, `apart` from each other, in runs of 2 * apart. */
INLINE void pack_4bit(const uint8_t *level, int n, int apart, uint8_t *q) {
    for (int h = 0; h < n / (2 * apart); h++)
        for (int i = 0; i < apart; i++) {
            const uint8_t *l = level + h * 2 * apart + i;
            q[h * apart + i] = (uint8_t)((l[0] & 15) | (l[apart] & 15) << 4);
        }
}

/* One bit of each of the eight levels that stand 32 apart. */
INLINE void pack_1bit(const uint8_t *level, int shift, uint8_t *q) {
    for (int i = 0; i < 32; i++) {
        int bits = 0;
        for (int h = 0; h < 8; h++) bits |= ((level[h * 32 + i] >> shift) & 1) << h;
        q[i] = (uint8_t)bits;
    }
}

/* Eight scales and eight mins of 6 bits in 12 bytes (q4_k, q5_k). */
static void pack_scales_and_mins(const uint8_t *scale, const uint8_t *min, uint8_t *to) {
    for (int j = 0; j < 4; j++) {
        to[j] = scale[j];
        to[j + 4] = min[j];
    }
    for (int j = 4; j < 8; j++) {
        to[j + 4] = (uint8_t)((scale[j] & 15) | (min[j] & 15) << 4);
        to[j - 4] = (uint8_t)(to[j - 4] | (scale[j] >> 4) << 6);
        to[j] = (uint8_t)(to[j] | (min[j] >> 4) << 6);
    }
}

static void unpack_scale_and_min(int j, const uint8_t *from, int *scale, int *min) {
    *scale = j < 4 ? from[j] & 63 : (from[j + 4] & 15) | (from[j - 4] >> 6) << 4;
    *min = j < 4 ? from[j + 4] & 63 : from[j + 4] >> 4 | (from[j] >> 6) << 4;
}

/* Sixteen scales of 6 bits (biased by 32) in 12 bytes (q3_k). */
static void pack_scales(const uint8_t *scale, uint8_t *to) {
    memset(to, 0, 12);
    for (int j = 0; j < 16; j++) {
        to[j % 8] = (uint8_t)(to[j % 8] | (scale[j] & 15) << (j < 8 ? 0 : 4));
        to[8 + j % 4] = (uint8_t)(to[8 + j % 4] | (scale[j] >> 4) << 2 * (j / 4));
    }
}

/* ---- the types ---- */

enum { Q2_K_BYTES = 84, Q3_K_BYTES = 110, Q4_K_BYTES = 144, Q5_K_BYTES = 176, Q6_K_BYTES = 210, IQ4_XS_BYTES = 136 };

CLONES static void q2_k_pack(const batch *b, const sub_levels *l, uint8_t *to) {
    for (int j = 0; j < b->count; j++, to += Q2_K_BYTES) {
        for (int i = 0; i < 16; i++) to[i] = (uint8_t)(l->scale[j * 16 + i] | l->min[j * 16 + i] << 4);
        pack_2bit(b->level + j * SUPER, 0, to + 16);
        put_half(to + 80, l->d[j]);
        put_half(to + 82, l->dmin[j]);
    }
}

static void q2_k(batch *b, uint8_t *to) {
    static const affine_search plain = {16, 3, -0.5f, 0.1f, 15, 1};
    sub_scales s = {.d = {0}};
    sub_levels l;
    find_affine(b, 16, &plain, MAGNITUDE, 15, 255, &s, &l);
    for (int k = 0; k < b->count * 16; k++) {
        int both = (l.scale[k] | l.min[k] << 4) & 255; /* as the byte will be read */
        s.d[k] = from_half(l.d[k / 16]) * (float)(both & 15);
        s.m[k] = from_half(l.dmin[k / 16]) * (float)(both >> 4);
    }
    affine_levels(b, &s, b->count * 16, 16, 3);
    q2_k_pack(b, &l, to);
}

CLONES static void q3_k_pack(const batch *b, const uint8_t *scale, const uint16_t *d, uint8_t *to) {
    for (int j = 0; j < b->count; j++, to += Q3_K_BYTES) {
        pack_1bit(b->level + j * SUPER, 2, to);
        pack_2bit(b->level + j * SUPER, 0, to + 32);
        pack_scales(scale + j * 16, to + 96);
        put_half(to + 108, d[j]);
    }
}

/* Scales as levels 0 to 63 around 32, by the scale of largest magnitude; gives d. */
static uint16_t q3_k_scales(batch *b, const float *scale, uint8_t *level) {
    float largest = 0;
    for (int i = 0; i < 16; i++) largest = fabsf(scale[i]) > fabsf(largest) ? scale[i] : largest;
    if (largest == 0) {
        memset(level, 0, 16);
        return 0;
    }
    float inverse = -32.0f / largest;
    for (int i = 0; i < 16; i++)
        level[i] = (uint8_t)(clamp((int8_t)nearest(inverse * scale[i]), -32, 31) + 32);
    return stored_half(b, 1 / inverse);
}

static void q3_k_plain(batch *b, sub_scales *s, uint8_t *searched, uint8_t *level, uint16_t *d) {
    lanes x[16];
    for (int g = 0; g < groups(b, 16); g++) {
        to_lanes(b->x + g * LANES * 16, 16, x);
        fit_symmetric_by_element(16, 4, x, searched + g * LANES * 16, s->scale + g * LANES);
    }
    for (int j = 0; j < b->count; j++) d[j] = q3_k_scales(b, s->scale + j * 16, level + j * 16);
}

static void q3_k_weighted(batch *b, sub_scales *s, uint8_t *level, uint16_t *d) {
    lanes x[16], w[16];
    symmetric_fit fit;
    sigma2_of_blocks(b, SUPER, 2, 1.0f / SUPER);
    fit_symmetric_batch(b, 16, 4, 16, IMPORTANCE_NEAR_SIGMA, s);
    to_lanes(s->scale, 16, x);
    to_lanes(s->weight, 16, w);
    fit_symmetric_exact(16, 32, x, w, &fit);
    for (int j = 0; j < b->count; j++) {
        for (int i = 0; i < 16; i++)
            level[j * 16 + i] = fit.live[j] ? (uint8_t)(clamp(nearest(fit.best_inverse[j] * x[i][j]), -32, 31) + 32) : 0;
        d[j] = stored_half(b, fit.scale[j]);
    }
}

static void q3_k(batch *b, uint8_t *to) {
    sub_scales s = {.d = {0}};
    uint8_t level[SUBS], searched[BATCH];
    uint16_t d[LANES];
    if (b->weighted)
        q3_k_weighted(b, &s, level, d);
    else
        q3_k_plain(b, &s, searched, level, d);
    for (int k = 0; k < b->count * 16; k++) s.d[k] = from_half(d[k / 16]) * (float)(level[k] - 32);
    symmetric_levels(b, &s, b->count * 16, 16, 4, b->weighted ? NULL : searched);
    q3_k_pack(b, level, d, to);
}

CLONES static void q45_k_pack(const batch *b, const sub_levels *l, int five, uint8_t *to) {
    for (int j = 0; j < b->count; j++, to += five ? Q5_K_BYTES : Q4_K_BYTES) {
        put_half(to, l->d[j]);
        put_half(to + 2, l->dmin[j]);
        pack_scales_and_mins(l->scale + j * 8, l->min + j * 8, to + 4);
        if (five) pack_1bit(b->level + j * SUPER, 4, to + 16);
        pack_4bit(b->level + j * SUPER, SUPER, 32, to + (five ? 48 : 16));
    }
}

static void q45_k(batch *b, const affine_search *plain, int most, uint8_t *to) {
    sub_scales s = {.d = {0}};
    sub_levels l;
    find_affine(b, 8, plain, RMS_PLUS_MAGNITUDE, 63, most, &s, &l);
    for (int j = 0; j < b->count; j++) {
        uint8_t packed[12];
        pack_scales_and_mins(l.scale + j * 8, l.min + j * 8, packed);
        for (int i = 0; i < 8; i++) {
            int scale, min;
            unpack_scale_and_min(i, packed, &scale, &min);
            s.d[j * 8 + i] = from_half(l.d[j]) * (float)scale;
            s.m[j * 8 + i] = from_half(l.dmin[j]) * (float)min;
        }
    }
    affine_levels(b, &s, b->count * 8, 32, plain->top);
    q45_k_pack(b, &l, plain->top == 31, to);
}

static void q4_k(batch *b, uint8_t *to) {
    static const affine_search plain = {32, 15, -1.0f, 0.1f, 20, 0};
    q45_k(b, &plain, b->weighted ? 255 : 63, to);
}

static void q5_k(batch *b, uint8_t *to) {
    static const affine_search plain = {32, 31, -0.5f, 0.1f, 15, 0};
    q45_k(b, &plain, 63, to);
}

CLONES static void q6_k_pack(const batch *b, const int8_t *scale, const uint16_t *d, uint8_t *to) {
    for (int j = 0; j < b->count; j++, to += Q6_K_BYTES) {
        pack_4bit(b->level + j * SUPER, SUPER, 64, to);
        pack_2bit(b->level + j * SUPER, 4, to + 128);
        memcpy(to + 192, scale + j * 16, 16);
        put_half(to + 208, d[j]);
    }
}

/* Scales as int8, by the scale of largest magnitude; gives d. A block of tiny scales counts as zero. */
static uint16_t q6_k_scales(batch *b, const float *scale, int8_t *level, int *live) {
    float largest = 0;
    for (int i = 0; i < 16; i++) largest = fabsf(scale[i]) > fabsf(largest) ? scale[i] : largest;
    *live = !(fabsf(largest) < GROUP_MAX_EPS);
    float inverse = -128.0f / largest;
    for (int i = 0; i < 16; i++) level[i] = *live ? (int8_t)least(127, nearest(inverse * scale[i])) : 0;
    return *live ? stored_half(b, 1 / inverse) : 0;
}

static void q6_k(batch *b, uint8_t *to) {
    sub_scales s = {.d = {0}};
    int8_t level[SUBS];
    uint16_t d[LANES];
    int live;
    fit_symmetric_batch(b, 16, 32, 16, b->weighted ? IMPORTANCE : SQUARE, &s);
    for (int j = 0; j < b->count; j++) {
        d[j] = q6_k_scales(b, s.scale + j * 16, level + j * 16, &live);
        for (int k = j * 16; k < (j + 1) * 16; k++) {
            s.d[k] = from_half(d[j]) * (float)level[k];
            s.live[k] &= live;
        }
    }
    symmetric_levels(b, &s, b->count * 16, 16, 32, NULL);
    q6_k_pack(b, level, d, to);
}

static void iq4_xs(batch *b, uint8_t *to) {
    sub_scales s = {.d = {0}};
    if (b->weighted) sigma2_of_blocks(b, SUPER, 1, 2.0f / SUPER);
    fit_iq4_batch(b, 8, &s);
    for (int j = 0; j < b->count; j++, to += IQ4_XS_BYTES) {
        const float *scale = s.scale + j * 8;
        int high = 0;
        float largest = 0;
        for (int i = 0; i < 8; i++) largest = fabsf(scale[i]) > fabsf(largest) ? scale[i] : largest;
        float d = -largest / 32, inverse = d != 0 ? 1 / d : 0;
        put_half(to, stored_half(b, d));
        for (int i = 0; i < 8; i++) {
            int l = clamp(nearest(inverse * scale[i]), -32, 31);
            float sub = d * (float)l; /* not rounded to float16: so does ggml */
            iq4_levels_of(b->x + j * SUPER + i * 32, 32, sub != 0 ? 1 / sub : 0, b->level + j * SUPER + i * 32);
            high |= ((l + 32) >> 4) << 2 * i;
            to[4 + i / 2] = (uint8_t)(i % 2 ? to[4 + i / 2] | ((l + 32) & 15) << 4 : (l + 32) & 15);
        }
        put_half(to + 2, (uint16_t)high);
        pack_4bit(b->level + j * SUPER, SUPER, 16, to + 8);
    }
}

#endif
