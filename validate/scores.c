/* Figures of two rows of logits, one pass of which torch makes a dozen: see scores.py for what they mean.
 *
 * Rows are read three times while they lie in the cache. Sums run in float32 over blocks of 64 and in float64 over blocks. The
 * exponential is Cephes' expf (S. Moshier), within two units in the last place. The caller sees to rows with a NaN or an
 * infinity: their sum of differences is not finite.
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

enum { LANES = 16, BLOCK = 64 };
enum { WORST, DISTANCE, RA, RR, AA, NORMAL_R, NORMAL_A, KL, FIGURES };
static const float ROUND = 12582912.0f; /* 1.5 * 2^23: adding and taking it away rounds to an integer */

INLINE float power(float x) { /* e^x */
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float k = (x * 1.44269504088896341f + ROUND) - ROUND;
    float f = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * f + 1.3981999507e-3f;
    y = y * f + 8.3334519073e-3f;
    y = y * f + 4.1665795894e-2f;
    y = y * f + 1.6666665459e-1f;
    y = y * f + 5.0000001201e-1f;
    y = y * (f * f) + f + 1.0f;
    int32_t bits = ((int32_t)k + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return y * scale;
}

INLINE float bend(float u) { /* e^u - 1 - u, without cancellation near 0 */
    float y = 1.0f / 362880;
    y = y * u + 1.0f / 40320;
    y = y * u + 1.0f / 5040;
    y = y * u + 1.0f / 720;
    y = y * u + 1.0f / 120;
    y = y * u + 1.0f / 24;
    y = y * u + 1.0f / 6;
    y = y * u + 0.5f;
    float near = y * u * u, far = power(u) - 1.0f - u;
    return fabsf(u) < 0.5f ? near : far;
}

/* One block of at most BLOCK values: `count` is a multiple of LANES, but for the last block of a row. */
#define EACH(count, body)                                                                                              \
    do {                                                                                                               \
        int64_t i_ = 0;                                                                                                \
        for (; i_ + LANES <= (count); i_ += LANES)                                                                     \
            for (int j = 0; j < LANES; j++) { int64_t i = i_ + j; body }                                               \
        for (; i_ < (count); i_++) { int64_t i = i_; int j = 0; body }                                                 \
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

INLINE void one(const float *r, const float *a, int64_t n, float *p, double *out) {
    float top_r[LANES], top_a[LANES], worst[LANES];
    double sums[4] = {0}, z_r = 0, z_a = 0, mean = 0, kl = 0;
    for (int j = 0; j < LANES; j++) { top_r[j] = top_a[j] = -INFINITY; worst[j] = 0; }
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        float d_[LANES] = {0}, ra[LANES] = {0}, rr[LANES] = {0}, aa[LANES] = {0};
        const float *x = r + at, *y = a + at;
        EACH(count, {
            float d = fabsf(x[i] - y[i]);
            d_[j] += d;
            worst[j] = d > worst[j] ? d : worst[j];
            top_r[j] = x[i] > top_r[j] ? x[i] : top_r[j];
            top_a[j] = y[i] > top_a[j] ? y[i] : top_a[j];
            ra[j] += x[i] * y[i];
            rr[j] += x[i] * x[i];
            aa[j] += y[i] * y[i];
        });
        sums[0] += total(d_);
        sums[1] += total(ra);
        sums[2] += total(rr);
        sums[3] += total(aa);
    }
    float most_r = largest(top_r), most_a = largest(top_a);
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        float er[LANES] = {0}, ea[LANES] = {0}, pd[LANES] = {0}, *q = p + at;
        const float *x = r + at, *y = a + at;
        EACH(count, {
            float e = power(x[i] - most_r);
            q[i] = e;
            er[j] += e;
            pd[j] += e * (x[i] - y[i]);
            ea[j] += power(y[i] - most_a);
        });
        z_r += total(er);
        z_a += total(ea);
        mean += total(pd);
    }
    float center = (float)(mean / z_r);
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        float terms[LANES] = {0};
        const float *x = r + at, *y = a + at, *q = p + at;
        EACH(count, { terms[j] += q[i] * bend(center - (x[i] - y[i])); });
        kl += total(terms);
    }
    out[WORST] = largest(worst);
    out[DISTANCE] = sums[0];
    out[RA] = sums[1];
    out[RR] = sums[2];
    out[AA] = sums[3];
    out[NORMAL_R] = log(z_r) + most_r;
    out[NORMAL_A] = log(z_a) + most_a;
    out[KL] = log1p(kl / z_r);
}

/* Rows r [rows, n] with a stride of n, a with a stride of `stride`; scratch float [n]; out double [rows, FIGURES]. */
EXPORT CLONES void ec_scores(const float *r, const float *a, int64_t rows, int64_t n, int64_t stride, float *scratch, double *out) {
    for (int64_t row = 0; row < rows; row++) one(r + row * n, a + row * stride, n, scratch, out + row * FIGURES);
}

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scores", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__scores(void) { return PyModule_Create(&module); }
