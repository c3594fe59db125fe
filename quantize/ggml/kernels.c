/* ggml's block quantizers, with each SIMD lane working on one sub-block. The bytes are those of llama.cpp.
 *
 * Source of formats and algorithms: llama.cpp, ggml/src/ggml-quants.c and ggml-common.h (MIT license, Copyright (c)
 * 2023-2026 The ggml authors; commit 0c1e57098 of October 2026). "The same bytes" means those of its x86-64 build
 * without fused multiply-add, which is how llama.cpp compiles these functions; see lanes.h for what keeps them equal.
 * tests/quantize/ggml compares every type with a packaged ggml.
 *
 * NOTICE: the algorithms, constants and layouts here and in the headers beside this file derive from llama.cpp, under:
 *
 *   MIT License. Copyright (c) 2023-2026 The ggml authors
 *
 *   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
 *   documentation files (the "Software"), to deal in the Software without restriction, including without limitation
 *   the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
 *   to permit persons to whom the Software is furnished to do so, subject to the following conditions:
 *
 *   The above copyright notice and this permission notice shall be included in all copies or substantial portions of
 *   the Software.
 *
 *   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
 *   THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 *   AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
 *   CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
 *   IN THE SOFTWARE.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "small_blocks.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* 2^30, more than any block of float16 scales can hold. Far beyond it squares overflow, and ggml writes zeros. */
enum { TOO_LARGE_BITS = 0x4e800000 };

enum { OK = 0, NOT_FINITE = 1, UNKNOWN_TYPE = 2, OVERFLOW = 3 };

/* Numbers are those of enum ggml_type. */
static const struct {
    int number, block, bytes, row_sigma2; /* row_sigma2: the search wants the mean square of the whole row */
    void (*quantize)(batch *, uint8_t *);
} TYPES[] = {
    {2, 32, 18, 1, q4_0},   {3, 32, 20, 1, q4_1},   {6, 32, 22, 1, q5_0},   {7, 32, 24, 1, q5_1},
    {8, 32, 34, 0, q8_0},   {10, 256, 84, 0, q2_k}, {11, 256, 110, 0, q3_k}, {12, 256, 144, 0, q4_k},
    {13, 256, 176, 0, q5_k}, {14, 256, 210, 0, q6_k}, {20, 32, 18, 0, iq4_nl}, {23, 256, 136, 0, iq4_xs},
};

typedef struct {
    const uint8_t *source;
    int dtype;
    int64_t cols;
    const float *importance; /* [cols] or NULL */
} rows_of_weights;

INLINE const void *at(const rows_of_weights *w, int64_t element) {
    return w->source + element * (w->dtype == F32 ? 4 : 2);
}

/* sum(x^2) / cols of one row, added up from its first element on. */
static float row_sigma2(const rows_of_weights *w, int64_t row, float *buffer) {
    float sum = 0;
    for (int64_t i = 0; i < w->cols; i += BATCH) {
        int64_t n = w->cols - i < BATCH ? w->cols - i : BATCH;
        widen(at(w, row * w->cols + i), w->dtype, n, buffer);
        for (int64_t k = 0; k < n; k++) sum += buffer[k] * buffer[k];
    }
    return sum / (float)w->cols;
}

/* Returns OK or NOT_FINITE. */
static int fill(const rows_of_weights *w, int64_t first, int block, int count, int with_row_sigma2, batch *b) {
    int64_t per_row = w->cols / block, known = -1;
    int n = count * block;
    float sigma2 = 0;
    b->count = count;
    b->weighted = w->importance != NULL;
    if (b->weighted)
        for (int k = 0; k < count; k++) {
            int64_t row = (first + k) / per_row, column = (first + k) % per_row * block;
            if (with_row_sigma2 && row != known) sigma2 = row_sigma2(w, known = row, b->x);
            b->sigma2[k] = sigma2;
            memcpy(b->importance + k * block, w->importance + column, (size_t)block * 4);
        }
    memset(b->x + n, 0, (size_t)(BATCH - n) * 4);
    memset(b->importance + n, 0, (size_t)(BATCH - n) * 4);
    int32_t top = widen(at(w, first * block), w->dtype, n, b->x);
    b->overflow |= top > TOO_LARGE_BITS;
    return top >= NOT_FINITE_BITS ? NOT_FINITE : OK;
}

/* source [rows, cols] of `dtype` -> to [rows, row bytes]; cols is a multiple of the type's block.
 *
 * Returns OK, NOT_FINITE, UNKNOWN_TYPE, or OVERFLOW: everything is written, but a weight or a scale (a
 * float16) is too large. */
EXPORT int ec_ggml_quantize(const void *source, int dtype, int64_t rows, int64_t cols, int type,
                            const float *importance, uint8_t *to) {
    rows_of_weights w = {source, dtype, cols, importance};
    batch b;
    size_t t = 0;
    while (t < sizeof TYPES / sizeof *TYPES && TYPES[t].number != type) t++;
    if (t == sizeof TYPES / sizeof *TYPES) return UNKNOWN_TYPE;
    int block = TYPES[t].block, whole = BATCH / block;
    int64_t blocks = rows * (cols / block);
    b.overflow = 0;
    for (int64_t first = 0; first < blocks; first += whole) {
        int count = blocks - first < whole ? (int)(blocks - first) : whole;
        if (fill(&w, first, block, count, TYPES[t].row_sigma2, &b) != OK) return NOT_FINITE;
        TYPES[t].quantize(&b, to + first * TYPES[t].bytes);
    }
    return b.overflow ? OVERFLOW : OK;
}

/* n weights of `dtype` -> float32, float16 or bfloat16 (half to even), by `target`. Statuses as above. */
EXPORT CLONES int ec_ggml_convert(const void *source, int dtype, int64_t n, int target, void *to) {
    rows_of_weights w = {source, dtype, n, NULL};
    float x[BATCH];
    int overflow = 0;
    for (int64_t first = 0; first < n; first += BATCH) {
        int64_t count = n - first < BATCH ? n - first : BATCH;
        uint16_t *half = (uint16_t *)to + first;
        if (widen(at(&w, first), dtype, count, x) >= NOT_FINITE_BITS) return NOT_FINITE;
        if (target == F32) memcpy((float *)to + first, x, (size_t)count * 4);
        if (target == F16)
            for (int64_t i = 0; i < count; i++) {
                half[i] = to_half(x[i]);
                overflow |= (half[i] & 0x7c00) == 0x7c00;
            }
        if (target == BF16)
            for (int64_t i = 0; i < count; i++) {
                uint32_t bits = (uint32_t)as_bits(x[i]);
                half[i] = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
                overflow |= (half[i] & 0x7f80) == 0x7f80;
            }
    }
    return overflow ? OVERFLOW : OK;
}

/* The functions above are called through ctypes, which releases the interpreter's lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", "ggml's quantizers, called through ctypes.", -1,
                                    NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&module); }
