/* Data-free integer weight compression, one row at a time: the arithmetic of NNCF 3.4, bit for bit.
 *
 * The numpy form of the same rules, which is the readable one and the fallback, stands in quantize/integer.py.
 * What keeps the bits equal: true division by the float32 scale, round half to even, no fused multiply-add
 * (the build passes -ffp-contract=off). Minima and maxima are taken on the order-preserving integer image of the
 * float, because compilers vectorize integer reductions without being told to ignore NaN and -0.
 *
 * Every entry returns 0, or 1 if a weight is NaN or infinite, or 2 if memory ran out.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
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

enum { BF16 = 0, F32 = 1 };
static const float EPS = 1.1920928955078125e-07f; /* numpy.finfo(float32).eps: NNCF's floor for a scale */
static const float ROUND = 12582912.0f;           /* 1.5 * 2^23: adding and taking it away rounds half to even */
                                           /* (|w / scale| stays below 2^9 by the choice of scale) */

INLINE float as_float(int32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
INLINE int32_t key(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); } /* its own inverse */
INLINE float round_even(float v) { return (v + ROUND) - ROUND; }
INLINE float clamp(float v, float low, float high) { v = v < low ? low : v; return v > high ? high : v; }

INLINE void load_row(const void *w, int dtype, int64_t row, int64_t cols, int32_t *bits) {
    if (dtype == BF16) {
        const uint16_t *s = (const uint16_t *)w + row * cols;
        for (int64_t i = 0; i < cols; i++) bits[i] = (int32_t)((uint32_t)s[i] << 16);
    } else {
        memcpy(bits, (const int32_t *)w + row * cols, (size_t)cols * 4);
    }
}

/* Minimum and maximum of n weights; returns 1 if one is not finite. */
INLINE int range(const int32_t *bits, int64_t n, float *low, float *high) {
    int32_t mn = INT32_MAX, mx = INT32_MIN;
    for (int64_t i = 0; i < n; i++) {
        int32_t k = key(bits[i]);
        mn = k < mn ? k : mn;
        mx = k > mx ? k : mx;
    }
    *low = as_float(key(mn));
    *high = as_float(key(mx));
    return mx >= 0x7f800000 || mn <= key((int32_t)0xff800000u);
}

INLINE void parameters(float low, float high, int bits, int sym, float *scale, float *zero_point) {
    float s;
    if (sym) {
        float abs_low = low < 0 ? -low : low;
        s = (abs_low >= high ? abs_low : -high) / (float)(1 << (bits - 1));
        *zero_point = 0;
    } else {
        low = low < 0 ? low : 0;
        high = high > 0 ? high : 0;
        s = (high - low) / (float)((1 << bits) - 1);
    }
    if ((s < 0 ? -s : s) < EPS) s = EPS;
    if (!sym) *zero_point = clamp(0.0f - round_even(low / s), 0.0f, (float)((1 << bits) - 1));
    *scale = s;
}

INLINE void quantize(const int32_t *w, int64_t n, int bits, int sym, float scale, float zp, uint8_t *q) {
    float low = sym ? -(float)(1 << (bits - 1)) : 0.0f;
    float high = sym ? (float)((1 << (bits - 1)) - 1) : (float)((1 << bits) - 1);
    if (sym)
        for (int64_t i = 0; i < n; i++)
            q[i] = (uint8_t)(int32_t)clamp(round_even(as_float(w[i]) / scale), low, high);
    else
        for (int64_t i = 0; i < n; i++)
            q[i] = (uint8_t)(int32_t)clamp(round_even(as_float(w[i]) / scale + zp), low, high);
}

/* w [rows, cols] -> q [rows, cols] (4 bits and even cols: packed, low nibble first), scale and zero_point
 * [rows, cols/group]; `group` divides cols. */
EXPORT CLONES int ec_compress(const void *w, int dtype, int64_t rows, int64_t cols, int64_t group, int bits, int sym,
                              uint8_t *q, float *scale, uint8_t *zero_point) {
    int packed = bits == 4 && cols % 2 == 0;
    int64_t groups = cols / group;
    int32_t *row = malloc((size_t)cols * 4);
    uint8_t *line = malloc((size_t)cols + 1);
    int bad = row && line ? 0 : 2;
    for (int64_t r = 0; r < rows && !bad; r++) {
        uint8_t *out = packed ? line : q + r * cols;
        load_row(w, dtype, r, cols, row);
        for (int64_t g = 0; g < groups; g++) {
            float low, high, s, zp;
            bad |= range(row + g * group, group, &low, &high);
            parameters(low, high, bits, sym, &s, &zp);
            quantize(row + g * group, group, bits, sym, s, zp, out + g * group);
            scale[r * groups + g] = s;
            if (!sym) zero_point[r * groups + g] = (uint8_t)zp;
        }
        if (packed) {
            uint8_t *to = q + r * (cols / 2);
            for (int64_t i = 0; i < cols / 2; i++) to[i] = (uint8_t)((line[2 * i] & 15) | (line[2 * i + 1] << 4));
        }
    }
    free(row);
    free(line);
    return bad;
}

/* max over rows of mean((w - dequantized int8_asym w)^2): NNCF's data-free sensitivity before its reciprocal. */
EXPORT CLONES int ec_int8_error(const void *w, int dtype, int64_t rows, int64_t cols, double *error) {
    enum { LANES = 16 };
    int32_t *row = malloc((size_t)cols * 4);
    int bad = row ? 0 : 2;
    double worst = 0;
    for (int64_t r = 0; r < rows && !bad; r++) {
        float low, high, s, zp, lane[LANES] = {0};
        load_row(w, dtype, r, cols, row);
        bad |= range(row, cols, &low, &high);
        parameters(low, high, 8, 0, &s, &zp);
        int64_t i = 0;
        for (; i + LANES <= cols; i += LANES)
            for (int j = 0; j < LANES; j++) {
                float v = as_float(row[i + j]);
                float d = (clamp(round_even(v / s + zp), 0.0f, 255.0f) - zp) * s - v;
                lane[j] += d * d;
            }
        double sum = 0;
        for (int j = 0; j < LANES; j++) sum += lane[j];
        for (; i < cols; i++) {
            float v = as_float(row[i]);
            float d = (clamp(round_even(v / s + zp), 0.0f, 255.0f) - zp) * s - v;
            sum += (double)(d * d);
        }
        if (sum / (double)cols > worst) worst = sum / (double)cols;
    }
    free(row);
    *error = worst;
    return bad;
}

/* 1 if any of n values is NaN or infinite. */
EXPORT CLONES int ec_not_finite(const void *w, int dtype, int64_t n) {
    int32_t top = 0;
    if (dtype == BF16) {
        const uint16_t *s = w;
        for (int64_t i = 0; i < n; i++) {
            int32_t m = s[i] & 0x7fff;
            top = m > top ? m : top;
        }
        return top >= 0x7f80;
    }
    const int32_t *s = w;
    for (int64_t i = 0; i < n; i++) {
        int32_t m = s[i] & 0x7fffffff;
        top = m > top ? m : top;
    }
    return top >= 0x7f800000;
}

/* The functions above are called through ctypes, which releases the interpreter's lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", "Compiled kernels, called through ctypes.", -1,
                                    NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&module); }
