/* Integer weights: their values, and how far they are from their source, in one pass of which numpy makes up to two dozen. See
 * constant.py for what is stored, allowed.py and fit.py for what the bounds and the figures mean.
 *
 * Each float32 operation is the one that numpy does, in its order: values are the same to the bit, and an element is over its
 * bound here if it is there. Sums run in float32 over CHUNK values and in float64 over chunks. Of a NaN or an infinity some sum
 * is not finite, and the caller sees to that block.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, CHUNK = 1024 };
enum { SQUARE, SOURCE_SQUARE, BOUND_SQUARE, WORST, OVER, ROWS_OVER, LARGEST, FIGURES };
enum { FLOAT32, BFLOAT16, INT8, UINT8 };

/* What `error_bound` makes of a scheme: allowed.py names each. */
typedef struct {
    float range;     /* steps that the range of a group is worth */
    float top;       /* the level that clips, where the scheme is symmetric; else a number that no level is */
    float wider;     /* how many times the range justifies a step may be */
    float least;     /* and what is added to that */
    float half;      /* of a step, what an element may be off by */
    float half_more; /* and what is added to that */
    float rounding;  /* of the scale, relative */
    float rounding_more;
    int64_t symmetric;
} rule;

/* `n` values of their kind from `at` on, as float32: in their place, or in `room`. */
INLINE const float *wide(const void *data, int64_t kind, int64_t at, int64_t n, float *room) {
    if (kind == FLOAT32) return (const float *)data + at;
    if (kind == BFLOAT16) {
        const uint16_t *from = (const uint16_t *)data + at;
        uint32_t bits[CHUNK];
        for (int64_t i = 0; i < n; i++) bits[i] = (uint32_t)from[i] << 16;
        memcpy(room, bits, (size_t)n * 4);
    } else if (kind == INT8) {
        const int8_t *from = (const int8_t *)data + at;
        for (int64_t i = 0; i < n; i++) room[i] = (float)from[i];
    } else {
        const uint8_t *from = (const uint8_t *)data + at;
        for (int64_t i = 0; i < n; i++) room[i] = (float)from[i];
    }
    return room;
}

/* `body` for i from 0 to `n`, and the lane j that takes its figures. GCC makes vectors of the inner loop if it does not unroll it. */
#if defined(__GNUC__)
#define ROLLED _Pragma("GCC unroll 1")
#else
#define ROLLED
#endif
#define EACH(n, body)                                                                                                  \
    do {                                                                                                               \
        int64_t i_ = 0;                                                                                                \
        for (; i_ + LANES <= (n); i_ += LANES) {                                                                       \
            ROLLED for (int j = 0; j < LANES; j++) { int64_t i = i_ + j; body }                                        \
        }                                                                                                              \
        for (; i_ < (n); i_++) { int64_t i = i_; int j = 0; body }                                                     \
    } while (0)

INLINE double total(const float *lanes) {
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

INLINE float largest(const float *lanes) {
    float most = lanes[0];
    for (int j = 1; j < LANES; j++) most = lanes[j] > most ? lanes[j] : most;
    return most;
}

/* What the range of `n` elements from `at` on justifies as a step; a NaN among them shows in the sum of squares. */
INLINE float justified(const void *source, int64_t kind, int64_t at, int64_t n, const rule *r) {
    float room[CHUNK], high[LANES], low[LANES];
    for (int j = 0; j < LANES; j++) high[j] = low[j] = 0;
    for (int64_t done = 0; done < n; done += CHUNK) {
        int64_t count = n - done < CHUNK ? n - done : CHUNK;
        const float *s = wide(source, kind, at + done, count, room);
        EACH(count, {
            float up = s[i];
            float down = -s[i];
            high[j] = up > high[j] ? up : high[j];
            low[j] = down > low[j] ? down : low[j];
        });
    }
    float h = largest(high), l = largest(low);
    return (r->symmetric ? (h > l ? h : l) : h + l) / r->range;
}

/* One group of `n` elements from `at` on; returns how many are over their bound. */
INLINE int64_t one(const void *source, int64_t source_kind, const void *levels, int64_t level_kind, int64_t at, int64_t n,
                   float scale, float zero, const rule *r, double *out) {
    float step = fabsf(scale), may = justified(source, source_kind, at, n, r) * r->wider + r->least;
    step = may < step ? may : step;
    float half = step * r->half + r->half_more, part = step * r->rounding + r->rounding_more, top = r->top;
    float source_room[CHUNK], level_room[CHUNK], worst[LANES], most[LANES];
    double over = 0;
    for (int j = 0; j < LANES; j++) worst[j] = most[j] = 0;
    for (int64_t done = 0; done < n; done += CHUNK) {
        int64_t count = n - done < CHUNK ? n - done : CHUNK;
        float square[LANES] = {0}, own[LANES] = {0}, allowed[LANES] = {0}, beyond[LANES] = {0};
        const float *s = wide(source, source_kind, at + done, count, source_room);
        const float *l = wide(levels, level_kind, at + done, count, level_room);
        EACH(count, {
            float level = l[i] - zero;
            float bound = fabsf(level) * part + half;
            bound += level == top ? half : 0.0f;
            float held = level * scale;
            float error = fabsf(held - s[i]);
            float ratio = error / bound;
            held = fabsf(held);
            square[j] += error * error;
            own[j] += s[i] * s[i];
            allowed[j] += bound * bound;
            beyond[j] += error > bound ? 1.0f : 0.0f;
            worst[j] = ratio > worst[j] ? ratio : worst[j];
            most[j] = held > most[j] ? held : most[j];
        });
        out[SQUARE] += total(square);
        out[SOURCE_SQUARE] += total(own);
        out[BOUND_SQUARE] += total(allowed);
        over += total(beyond);
    }
    float w = largest(worst), m = largest(most);
    out[WORST] = w > out[WORST] ? w : out[WORST];
    out[LARGEST] = m > out[LARGEST] ? m : out[LARGEST];
    return (int64_t)over;
}

/* source and levels [rows, groups, group] of their kinds; scale and zero float [rows, groups], zero may be NULL; out double
 * [FIGURES] of zeros. */
EXPORT CLONES void ec_fit(const void *source, int64_t source_kind, const void *levels, int64_t level_kind, const float *scale,
                          const float *zero, int64_t rows, int64_t groups, int64_t group, const rule *r, double *out) {
    for (int64_t row = 0; row < rows; row++) {
        int64_t over = 0;
        for (int64_t g = row * groups; g < (row + 1) * groups; g++)
            over += one(source, source_kind, levels, level_kind, g * group, group, scale[g], zero ? zero[g] : 0.0f, r, out);
        out[OVER] += (double)over;
        out[ROWS_OVER] += over > 0;
    }
}

/* levels [rows, groups, group] of a kind, scale and zero as above; out float32 in the levels' shape. */
EXPORT CLONES void ec_values(const void *levels, int64_t level_kind, const float *scale, const float *zero, int64_t rows,
                             int64_t groups, int64_t group, float *out) {
    float room[CHUNK];
    for (int64_t g = 0; g < rows * groups; g++) {
        float by = scale[g], less = zero ? zero[g] : 0.0f;
        for (int64_t done = 0; done < group; done += CHUNK) {
            int64_t at = g * group + done, count = group - done < CHUNK ? group - done : CHUNK;
            const float *l = wide(levels, level_kind, at, count, room);
            float *to = out + at;
            for (int64_t i = 0; i < count; i++) to[i] = (l[i] - less) * by;
        }
    }
}

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_integers", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__integers(void) { return PyModule_Create(&module); }
