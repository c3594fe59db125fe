/* The searches of ggml's block quantizers, for LANES sub-blocks at a time.
 *
 * Each function gives, in every lane, the bits of its namesake in llama.cpp's ggml/src/ggml-quants.c (MIT license,
 * Copyright (c) 2023-2026 The ggml authors), whose algorithms these are: the same operations on each sub-block in the
 * same order. What changes is that a branch on a sub-block's values becomes a choice in its lane, and that the levels
 * are not kept but computed again from the scale that won.
 */
#ifndef EDGECONV_GGML_FIT_H
#define EDGECONV_GGML_FIT_H

#include "lanes.h"

static const float GROUP_MAX_EPS = 1e-15f; /* ggml: a sub-block whose magnitudes stay below counts as zero */

/* ---- x ~ scale * l + min, 0 <= l <= top (make_qkx2_quants, make_qkx3_quants) ---- */

typedef struct {
    int n, top;        /* elements a sub-block, highest level */
    float first, step; /* the steps try (first + step*k + top) / range as the inverse scale */
    int steps;         /* the last k */
    int absolute;      /* 1: the error is absolute instead of squared */
} affine_search;

typedef struct {
    lanes scale, min;              /* min is negated, as the formats store it */
    lanes best_inverse, best_base; /* l = clamp(nearest(best_inverse * (x - best_base))) */
    lanes sum_w;
} affine_fit;

INLINE float affine_level(float x, float inverse, float base, int top, int exact) {
    float v = inverse * (x - base);
    return exact ? (float)clamp(nearest(v), 0, top) : nearest_clamped(v, 0, top);
}

/* Weighted error of scale * l + min against x. */
INLINE void affine_error(const affine_search *s, const lanes *x, const lanes *w, const lanes *level, const float *scale,
                         const float *min, float *error) {
    lanes sum = {0};
    if (s->absolute)
        for (int i = 0; i < s->n; i++)
            EACH sum[j] += w[i][j] * fabsf(scale[j] * level[i][j] + min[j] - x[i][j]);
    else
        for (int i = 0; i < s->n; i++)
            EACH {
                float d = scale[j] * level[i][j] + min[j] - x[i][j];
                sum[j] += w[i][j] * (d * d);
            }
    EACH error[j] = sum[j];
}

/* Returns 1 if a lane left the range of nearest_clamped; the result is then to be had with exact = 1. */
INLINE int affine_search_lanes(const affine_search *s, const lanes *x, const lanes *w, affine_fit *f, int exact) {
    lanes low, high, min, range, sum_w, sum_x, inverse, scale, best, level[32];
    ilanes live;
    int strayed = 0;
    EACH {
        low[j] = high[j] = x[0][j];
        sum_w[j] = w[0][j];
        sum_x[j] = w[0][j] * x[0][j];
    }
    for (int i = 1; i < s->n; i++)
        EACH {
            low[j] = x[i][j] < low[j] ? x[i][j] : low[j];
            high[j] = x[i][j] > high[j] ? x[i][j] : high[j];
            sum_w[j] += w[i][j];
            sum_x[j] += w[i][j] * x[i][j];
        }
    EACH {
        min[j] = low[j] > 0 ? 0 : low[j];
        live[j] = high[j] != min[j];
        range[j] = high[j] - min[j];
        inverse[j] = (float)s->top / range[j];
        scale[j] = 1 / inverse[j];
        f->best_inverse[j] = inverse[j];
        f->best_base[j] = min[j];
    }
    EACH strayed |= live[j] & !(inverse[j] * (high[j] - min[j]) <= NEAREST_LIMIT);
    for (int i = 0; i < s->n; i++) EACH level[i][j] = affine_level(x[i][j], inverse[j], min[j], s->top, exact);
    affine_error(s, x, w, level, scale, min, best);
    for (int k = 0; k <= s->steps; k++) {
        float numerator = s->first + s->step * (float)k + (float)s->top;
        lanes sum_l = {0}, sum_l2 = {0}, sum_xl = {0}, new_scale, new_min, error;
        ilanes solved;
        EACH inverse[j] = numerator / (high[j] - min[j]);
        /* x -> inverse * (x - min) is monotonic in floating point too: its ends bound it. */
        EACH strayed |= live[j] & !(fabsf(inverse[j] * (high[j] - min[j])) <= NEAREST_LIMIT);
        EACH strayed |= live[j] & !(fabsf(inverse[j] * (low[j] - min[j])) <= NEAREST_LIMIT);
        for (int i = 0; i < s->n; i++)
            EACH {
                float l = affine_level(x[i][j], inverse[j], min[j], s->top, exact);
                float wl = w[i][j] * l;
                level[i][j] = l;
                sum_l[j] += wl;
                sum_l2[j] += wl * l;
                sum_xl[j] += wl * x[i][j];
            }
        EACH {
            float d = sum_w[j] * sum_l2[j] - sum_l[j] * sum_l[j];
            float free_scale = (sum_w[j] * sum_xl[j] - sum_x[j] * sum_l[j]) / d;
            float free_min = (sum_l2[j] * sum_x[j] - sum_l[j] * sum_xl[j]) / d;
            float fixed_scale = sum_xl[j] / sum_l2[j];
            solved[j] = d > 0;
            new_scale[j] = free_min > 0 ? fixed_scale : free_scale;
            new_min[j] = free_min > 0 ? 0 : free_min;
        }
        affine_error(s, x, w, level, new_scale, new_min, error);
        EACH {
            int better = solved[j] & (error[j] < best[j]);
            f->best_inverse[j] = better ? inverse[j] : f->best_inverse[j];
            f->best_base[j] = better ? min[j] : f->best_base[j];
            best[j] = better ? error[j] : best[j];
            scale[j] = better ? new_scale[j] : scale[j];
            min[j] = better ? new_min[j] : min[j];
        }
    }
    EACH {
        f->scale[j] = live[j] ? scale[j] : 0;
        f->min[j] = -min[j];
        f->sum_w[j] = sum_w[j];
        f->best_inverse[j] = live[j] ? f->best_inverse[j] : 0; /* all levels 0 */
    }
    return strayed;
}

CLONES static void fit_affine(const affine_search *search, const lanes *x, const lanes *w, affine_fit *fit) {
    if (affine_search_lanes(search, x, w, fit, 0)) affine_search_lanes(search, x, w, fit, 1);
}

/* ---- x ~ scale * l, -top <= l < top (make_qx_quants with rmse_type 1) ---- */

typedef struct {
    lanes scale;
    lanes best_inverse; /* l = clamp(nearest(best_inverse * x)) */
    ilanes live;        /* 0: the sub-block counts as zero */
} symmetric_fit;

/* The first of the elements of largest magnitude, and that magnitude. */
INLINE void extreme(const lanes *x, int n, float *value, float *magnitude) {
    EACH value[j] = magnitude[j] = 0;
    for (int i = 0; i < n; i++)
        EACH {
            float a = fabsf(x[i][j]);
            value[j] = a > magnitude[j] ? x[i][j] : value[j];
            magnitude[j] = a > magnitude[j] ? a : magnitude[j];
        }
}

INLINE void symmetric_search_lanes(int n, int top, const lanes *x, const lanes *w, symmetric_fit *f, int exact) {
    lanes value, magnitude, scale = {0}, best = {0}, wx[32];
    extreme(x, n, value, magnitude);
    for (int i = 0; i < n; i++) EACH wx[i][j] = w[i][j] * x[i][j];
    for (int k = 0; k < 19; k++) {
        int offset = k == 0 ? 0 : k <= 9 ? k - 10 : k - 9; /* 0 first, then -9 to -1, 1 to 9 */
        float numerator = k == 0 ? (float)-top : -((float)top + 0.1f * (float)offset);
        lanes inverse, sum_lx = {0}, sum_l2 = {0};
        EACH inverse[j] = numerator / value[j];
        for (int i = 0; i < n; i++)
            EACH {
                float v = inverse[j] * x[i][j];
                float l = exact ? (float)clamp(nearest(v), -top, top - 1) : nearest_clamped(v, -top, top - 1);
                sum_lx[j] += wx[i][j] * l;
                sum_l2[j] += w[i][j] * l * l;
            }
        if (k == 0) {
            EACH {
                scale[j] = sum_l2[j] != 0 ? sum_lx[j] / sum_l2[j] : 0;
                best[j] = scale[j] * sum_lx[j];
                f->best_inverse[j] = inverse[j];
            }
            continue;
        }
        EACH {
            int better = (sum_l2[j] > 0) & (sum_lx[j] * sum_lx[j] > best[j] * sum_l2[j]);
            scale[j] = better ? sum_lx[j] / sum_l2[j] : scale[j];
            best[j] = better ? scale[j] * sum_lx[j] : best[j];
            f->best_inverse[j] = better ? inverse[j] : f->best_inverse[j];
        }
    }
    EACH {
        f->live[j] = !(magnitude[j] < GROUP_MAX_EPS);
        f->scale[j] = f->live[j] ? scale[j] : 0;
    }
}

/* For finite x: |inverse * x| stays near `top`. */
CLONES static void fit_symmetric(int n, int top, const lanes *x, const lanes *w, symmetric_fit *fit) {
    symmetric_search_lanes(n, top, x, w, fit, 0);
}

/* For scales of sub-blocks, which overflowing weights can make infinite. */
CLONES static void fit_symmetric_exact(int n, int top, const lanes *x, const lanes *w, symmetric_fit *fit) {
    symmetric_search_lanes(n, top, x, w, fit, 1);
}

/* ---- the same, element by element until no level changes (make_q3_quants with do_rmse) ---- */

/* n <= 16. `levels` [n][LANES]: 0 <= l < 2 * top; all 0 in a sub-block that counts as zero. */
CLONES static void fit_symmetric_by_element(int n, int top, const lanes *x, uint8_t *levels, float *scale) {
    lanes value, magnitude, sum_lx = {0}, sum_l2 = {0};
    ilanes level[16];
    extreme(x, n, value, magnitude);
    for (int i = 0; i < n; i++)
        EACH {
            float inverse = (float)-top / value[j], w = x[i][j] * x[i][j];
            int l = clamp(nearest(inverse * x[i][j]), -top, top - 1);
            level[i][j] = l;
            sum_lx[j] += w * x[i][j] * (float)l;
            sum_l2[j] += w * (float)l * (float)l;
        }
    for (int pass = 0, changed = 1; pass < 5 && changed; pass++) {
        changed = 0; /* a lane in which nothing changed will not change in another pass either */
        for (int i = 0; i < n; i++)
            EACH {
                int l = level[i][j];
                float w = x[i][j] * x[i][j];
                float lx = sum_lx[j] - w * x[i][j] * (float)l;
                float l2 = sum_l2[j] - w * (float)l * (float)l;
                int next = clamp(nearest(x[i][j] * l2 / lx), -top, top - 1);
                int wanted = (lx > 0) & (next != l);
                lx += w * x[i][j] * (float)next;
                l2 += w * (float)next * (float)next;
                wanted &= (l2 > 0) & (lx * lx * sum_l2[j] > sum_lx[j] * sum_lx[j] * l2);
                level[i][j] = wanted ? next : l;
                sum_lx[j] = wanted ? lx : sum_lx[j];
                sum_l2[j] = wanted ? l2 : sum_l2[j];
                changed |= wanted;
            }
    }
    EACH scale[j] = !(magnitude[j] < GROUP_MAX_EPS) & (sum_l2[j] > 0) ? sum_lx[j] / sum_l2[j] : 0;
    for (int i = 0; i < n; i++)
        EACH levels[i * LANES + j] = (uint8_t)(magnitude[j] < GROUP_MAX_EPS ? 0 : level[i][j] + top);
}

/* ---- x ~ scale * l, 0 <= l <= top, x >= 0: the scales of sub-blocks (make_qp_quants) ---- */

/* The levels are bytes: a negative one wraps, as it does in ggml. */
CLONES static void fit_positive(int n, int top, const lanes *x, const lanes *w, ilanes *level, float *scale) {
    lanes max = {0}, inverse, best = {0}, sum_lx = {0}, sum_l2 = {0};
    for (int i = 0; i < n; i++) EACH max[j] = max[j] > x[i][j] ? max[j] : x[i][j];
    for (int k = 0; k < 9; k++) {
        int offset = k == 0 ? 0 : k <= 4 ? k - 5 : k - 4; /* 0 first, then -4 to -1, 1 to 4 */
        lanes trial, error = {0};
        EACH trial[j] = (k == 0 ? (float)top : 0.1f * (float)offset + (float)top) / max[j];
        for (int i = 0; i < n; i++)
            EACH {
                int l = nearest(trial[j] * x[i][j]);
                l = k == 0 ? l & 255 : least(top, l);
                float d = x[i][j] - 1 / trial[j] * (float)l;
                error[j] += w[i][j] * d * d;
            }
        EACH {
            int better = k == 0 || error[j] < best[j];
            best[j] = better ? error[j] : best[j];
            inverse[j] = better ? trial[j] : inverse[j];
        }
    }
    for (int i = 0; i < n; i++)
        EACH {
            int l = least(top, nearest(inverse[j] * x[i][j]));
            level[i][j] = l & 255;
            sum_lx[j] += w[i][j] * x[i][j] * (float)l;
            sum_l2[j] += w[i][j] * (float)l * (float)l;
        }
    for (int pass = 0, changed = 1; pass < 5 && changed; pass++) {
        changed = 0;
        for (int i = 0; i < n; i++)
            EACH {
                int l = level[i][j];
                float lx = sum_lx[j] - w[i][j] * x[i][j] * (float)l;
                float l2 = sum_l2[j] - w[i][j] * (float)l * (float)l;
                int next = least(top, nearest(x[i][j] * l2 / lx));
                int wanted = (lx > 0) & (l2 > 0) & (next != l);
                lx += w[i][j] * x[i][j] * (float)next;
                l2 += w[i][j] * (float)next * (float)next;
                wanted &= lx * lx * sum_l2[j] > sum_lx[j] * sum_lx[j] * l2;
                level[i][j] = wanted ? next & 255 : l;
                sum_lx[j] = wanted ? lx : sum_lx[j];
                sum_l2[j] = wanted ? l2 : sum_l2[j];
                changed |= wanted;
            }
    }
    EACH scale[j] = !(max[j] < GROUP_MAX_EPS) & (sum_l2[j] > 0) ? sum_lx[j] / sum_l2[j] : 0;
    for (int i = 0; i < n; i++) EACH level[i][j] = max[j] < GROUP_MAX_EPS ? 0 : level[i][j];
}

/* ---- x ~ scale * v[l] with the sixteen values of iq4 (quantize_row_iq4_nl_impl with ntry 7) ---- */

static const float IQ4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* The index of the value nearest to x; halfway the upper one, and 15 for NaN (0 times an infinite inverse scale). */
INLINE int iq4_index(float x) {
    int l = 0;
    for (int k = 1; k < 16; k++) l += !(x < (IQ4[k - 1] + IQ4[k]) / 2);
    return l;
}

/* That value. */
INLINE float iq4_value(float x) {
    float v = IQ4[0];
    for (int k = 1; k < 16; k++) v += x < (IQ4[k - 1] + IQ4[k]) / 2 ? 0 : IQ4[k] - IQ4[k - 1];
    return v;
}

CLONES static void fit_iq4(const lanes *x, const lanes *w, float *scale) {
    enum { N = 32, TRIES = 7 };
    lanes value, magnitude, found = {0}, best = {0};
    extreme(x, N, value, magnitude);
    for (int k = -TRIES - 1; k <= TRIES; k++) {
        int start = k < -TRIES;
        lanes inverse, sum_qx = {0}, sum_q2 = {0};
        EACH inverse[j] = start ? 1 / (-value[j] / IQ4[0]) : ((float)k + IQ4[0]) / value[j];
        for (int i = 0; i < N; i++)
            EACH {
                float q = iq4_value(inverse[j] * x[i][j]), wq = w[i][j] * q;
                sum_qx[j] += wq * x[i][j];
                sum_q2[j] += wq * q;
            }
        EACH {
            int better = (sum_q2[j] > 0) & (start | (sum_qx[j] * sum_qx[j] > best[j] * sum_q2[j]));
            found[j] = better ? sum_qx[j] / sum_q2[j] : found[j];
            best[j] = better | start ? found[j] * sum_qx[j] : best[j];
        }
    }
    EACH scale[j] = magnitude[j] < GROUP_MAX_EPS ? 0 : found[j];
}

#endif
