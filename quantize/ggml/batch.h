/* A batch: LANES super-blocks of 256 weights (or as many blocks of 32), what a call of the searches is fed from.
 *
 * Here stand the steps that every type shares: reading weights of any dtype, weighing them, and giving each weight its
 * level once the scales are stored. Source of the arithmetic: as in fit.h.
 */
#ifndef EDGECONV_GGML_BATCH_H
#define EDGECONV_GGML_BATCH_H

#include "fit.h"

enum { F32 = 0, F16 = 1, BF16 = 2 };
enum { SUPER = 256, BATCH = LANES * SUPER, SUBS = BATCH / 16 };

typedef struct {
    float x[BATCH];          /* zeros beyond `count` blocks */
    float importance[BATCH]; /* of the columns of x, where `weighted` */
    uint8_t level[BATCH];
    int count;          /* blocks (of the type's size) in use */
    int weighted;       /* an importance matrix was given */
    int overflow;       /* set if a weight is too large, or a scale is not finite as float16 */
    float sigma2[SUBS]; /* mean square around each block, where `weighted`; what "around" means the type says */
} batch;

/* Scales of the sub-blocks of a batch, in their order. Beyond the blocks in use they hold those of zeros. */
typedef struct {
    float scale[SUBS], min[SUBS], weight[SUBS];
    float inverse[SUBS], base[SUBS]; /* the search's own levels: nearest(inverse * (x - base)) */
    int32_t live[SUBS];              /* 0: the sub-block counts as zero */
    float d[SUBS], m[SUBS];          /* as stored: x ~ d * l - m */
} sub_scales;

/* ---- reading ---- */

enum { NOT_FINITE_BITS = 0x7f800000 };

/* Widens n weights to float32; gives the bits of the largest magnitude, NOT_FINITE_BITS or more for NaN and infinity. */
CLONES static int32_t widen(const void *source, int dtype, int64_t n, float *x) {
    int32_t top = 0;
    if (dtype == F32) {
        memcpy(x, source, (size_t)n * 4);
    } else if (dtype == BF16) {
        const uint16_t *s = source;
        for (int64_t i = 0; i < n; i++) x[i] = as_float((int32_t)((uint32_t)s[i] << 16));
    } else {
        const uint16_t *s = source;
        for (int64_t i = 0; i < n; i++) x[i] = from_half(s[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        int32_t magnitude = as_bits(x[i]) & 0x7fffffff;
        top = magnitude > top ? magnitude : top;
    }
    return top;
}

/* float16 of a block's scale; one that is not finite is noted. */
INLINE uint16_t stored_half(batch *b, float value) {
    uint16_t half = to_half(value);
    b->overflow |= !half_is_finite(half);
    return half;
}

INLINE void put_half(uint8_t *to, uint16_t half) {
    to[0] = (uint8_t)(half & 255);
    to[1] = (uint8_t)(half >> 8);
}

/* ---- weighing ---- */

/* Sums of squares of n consecutive weights, for LANES runs of them. */
CLONES static void sums_of_squares(const float *x, int n, float *sum) {
    EACH sum[j] = 0;
    for (int i = 0; i < n; i++) EACH sum[j] += x[j * n + i] * x[j * n + i];
}

/* sigma2 of each block of n weights, for types that look no further: (before * sum) * after, both powers of two. */
static void sigma2_of_blocks(batch *b, int n, float before, float after) {
    for (int k = 0; k < b->count; k += LANES) {
        sums_of_squares(b->x + k * n, n, b->sigma2 + k);
        EACH b->sigma2[k + j] = before * b->sigma2[k + j] * after;
    }
}

typedef enum { SQUARE, MAGNITUDE, RMS_PLUS_MAGNITUDE, IMPORTANCE, IMPORTANCE_NEAR_SIGMA } weighing;

/* The weights w of sub-blocks of n elements, of which x is the lane form. `q`: their importance; `sigma2`: a lane each. */
CLONES static void weigh(weighing how, int n, const lanes *x, const float *q, const float *sigma2, lanes *w) {
    lanes rms = {0};
    if (how == IMPORTANCE || how == IMPORTANCE_NEAR_SIGMA) to_lanes(q, n, w);
    if (how == IMPORTANCE_NEAR_SIGMA)
        for (int i = 0; i < n; i++) EACH w[i][j] = w[i][j] * sqrtf(sigma2[j] + x[i][j] * x[i][j]);
    if (how == SQUARE)
        for (int i = 0; i < n; i++) EACH w[i][j] = x[i][j] * x[i][j];
    if (how == MAGNITUDE)
        for (int i = 0; i < n; i++) EACH w[i][j] = fabsf(x[i][j]);
    if (how == RMS_PLUS_MAGNITUDE) {
        for (int i = 0; i < n; i++) EACH rms[j] += x[i][j] * x[i][j];
        EACH rms[j] = sqrtf(rms[j] / (float)n);
        for (int i = 0; i < n; i++) EACH w[i][j] = rms[j] + fabsf(x[i][j]);
    }
}

/* The lane form of group g of LANES sub-blocks of n elements, and its weights; `per_block`: sub-blocks a block. */
INLINE void load_group(const batch *b, int g, int n, int per_block, weighing how, lanes *x, lanes *w) {
    lanes sigma2;
    EACH sigma2[j] = b->weighted ? b->sigma2[(g * LANES + j) / per_block] : 0;
    to_lanes(b->x + g * LANES * n, n, x);
    weigh(how, n, x, b->importance + g * LANES * n, sigma2, w);
}

INLINE int groups(const batch *b, int per_block) { return (b->count * per_block + LANES - 1) / LANES; }

/* ---- searching, over all sub-blocks of a batch ---- */

static void fit_affine_batch(const batch *b, const affine_search *search, int per_block, weighing how, sub_scales *s) {
    lanes x[32], w[32];
    affine_fit fit;
    for (int g = 0; g < groups(b, per_block); g++) {
        load_group(b, g, search->n, per_block, how, x, w);
        fit_affine(search, x, w, &fit);
        memcpy(s->scale + g * LANES, fit.scale, sizeof(lanes));
        memcpy(s->min + g * LANES, fit.min, sizeof(lanes));
        memcpy(s->weight + g * LANES, fit.sum_w, sizeof(lanes));
        memcpy(s->inverse + g * LANES, fit.best_inverse, sizeof(lanes));
        memcpy(s->base + g * LANES, fit.best_base, sizeof(lanes));
    }
}

static void fit_symmetric_batch(const batch *b, int n, int top, int per_block, weighing how, sub_scales *s) {
    lanes x[32], w[32], sum;
    symmetric_fit fit;
    for (int g = 0; g < groups(b, per_block); g++) {
        load_group(b, g, n, per_block, how, x, w);
        fit_symmetric(n, top, x, w, &fit);
        EACH sum[j] = 0;
        for (int i = 0; i < n; i++) EACH sum[j] += w[i][j];
        memcpy(s->scale + g * LANES, fit.scale, sizeof(lanes));
        memcpy(s->weight + g * LANES, sum, sizeof(lanes));
        memcpy(s->inverse + g * LANES, fit.best_inverse, sizeof(lanes));
        memcpy(s->live + g * LANES, fit.live, sizeof(ilanes));
    }
}

/* ---- levels ---- */

/* Every sub-block's value, once for each of its n elements. */
INLINE void spread(const float *value, int subs, int n, float *out) {
    for (int k = 0; k < subs; k++)
        for (int i = 0; i < n; i++) out[k * n + i] = value[k];
}

/* Levels for the stored scales d and m; a sub-block whose d is 0 keeps those of its search. */
CLONES static void affine_levels(batch *b, const sub_scales *s, int subs, int n, int top) {
    float d[BATCH], m[BATCH];
    spread(s->d, subs, n, d);
    spread(s->m, subs, n, m);
    for (int i = 0; i < subs * n; i++) b->level[i] = (uint8_t)clamp(nearest((b->x[i] + m[i]) / d[i]), 0, top);
    for (int k = 0; k < subs; k++)
        if (s->d[k] == 0)
            for (int i = k * n; i < (k + 1) * n; i++)
                b->level[i] = (uint8_t)clamp(nearest(s->inverse[k] * (b->x[i] - s->base[k])), 0, top);
}

/* Likewise without a min. `searched`: the search's levels in lane form [subs / LANES][n][LANES], or NULL. */
CLONES static void symmetric_levels(batch *b, const sub_scales *s, int subs, int n, int top, const uint8_t *searched) {
    float d[BATCH];
    spread(s->d, subs, n, d);
    for (int i = 0; i < subs * n; i++) b->level[i] = (uint8_t)(clamp(nearest(b->x[i] / d[i]), -top, top - 1) + top);
    for (int k = 0; k < subs; k++)
        if (s->d[k] == 0)
            for (int i = 0; i < n; i++) {
                int l = clamp(nearest(s->inverse[k] * b->x[k * n + i]), -top, top - 1) + top;
                if (searched) l = searched[(k / LANES * n + i) * LANES + k % LANES];
                b->level[k * n + i] = (uint8_t)(searched || s->live[k] ? l : 0);
            }
}

CLONES static void iq4_levels_of(const float *x, int n, float inverse, uint8_t *level) {
    for (int i = 0; i < n; i++) level[i] = (uint8_t)iq4_index(inverse * x[i]);
}

static void fit_iq4_batch(const batch *b, int per_block, sub_scales *s) {
    lanes x[32], w[32];
    for (int g = 0; g < groups(b, per_block); g++) {
        load_group(b, g, 32, per_block, b->weighted ? IMPORTANCE_NEAR_SIGMA : SQUARE, x, w);
        fit_iq4(x, w, s->scale + g * LANES);
    }
}

#endif
