// Builds the CUDA sources with a host compiler and runs their threads one by one.
//
// Types and vector width are macros as on the GPU (SCALAR, NEURONS_PER_THREAD,
// WIDE_INDEX); every other macro of the sources becomes a variable, so that one
// library runs all of their branches.
#include <cmath>
#include <cstring>

#define __global__
#define __device__

struct Index {
    unsigned int x;
};
static Index gridDim, blockDim, blockIdx, threadIdx;

struct Settings {
    int T_STEPS, SURROGATE, SOFT_RESET, DECAY_INPUT, DETACH_RESET, PATH, EXACT_INVERSES;
};
static Settings settings;
#define T_STEPS settings.T_STEPS
#define SURROGATE settings.SURROGATE
#define SOFT_RESET settings.SOFT_RESET
#define DECAY_INPUT settings.DECAY_INPUT
#define DETACH_RESET settings.DETACH_RESET
#define PATH settings.PATH
#define EXACT_INVERSES settings.EXACT_INVERSES

static inline float __uint_as_float(unsigned int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline unsigned int __float_as_uint(float value) {
    unsigned int bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// IEEE binary16, what the GPU's cvt instructions do.
static inline float half_to_float(unsigned short half) {
    const unsigned int sign = (half & 0x8000u) << 16;
    const unsigned int exponent = half >> 10 & 31u, fraction = half & 1023u;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
    return __uint_as_float(sign | __float_as_uint(std::ldexp((float)fraction, -24)));
}

static inline unsigned short float_to_half(float value) {
    const unsigned int sign = __float_as_uint(value) >> 16 & 0x8000u;
    const unsigned int size = __float_as_uint(value) & 0x7fffffffu;
    if (size > 0x7f800000u) return sign | 0x7e00u;
    if (size >= 0x477ff000u) return sign | 0x7c00u;
    if (size < 0x38800000u)  // subnormal; nearbyint rounds ties to even
        return sign | (unsigned short)std::nearbyint(std::ldexp(std::fabs(value), 24));
    return sign | (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
}

#include "mixed_lif_forward.cu"
#include "mixed_lif_backward.cu"

template <class Kernel, class... Arguments>
static void launch(Kernel kernel, const Settings& with, unsigned int blocks,
                   unsigned int threads, Arguments... arguments) {
    settings = with;
    gridDim.x = blocks;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel(arguments...);
}

extern "C" void launch_mixed_lif_forward(
    const Settings& with, unsigned int blocks, unsigned int threads, const scalar_t* x,
    scalar_t* out, long long neurons, long long stride_t, long long stride_n,
    long long samples, float tau, float theta, float rest, float width) {
    launch(mixed_lif_forward, with, blocks, threads, x, out, neurons, stride_t, stride_n,
           samples, tau, theta, rest, width);
}

extern "C" void launch_mixed_lif_backward(
    const Settings& with, unsigned int blocks, unsigned int threads,
    const scalar_t* grad, const scalar_t* x, scalar_t* grad_x, long long neurons,
    long long stride_t, float tau, float theta, float rest, float width) {
    launch(mixed_lif_backward, with, blocks, threads, grad, x, grad_x, neurons, stride_t,
           tau, theta, rest, width);
}

extern "C" void to_floats(const scalar_t* from, float* to, long long count) {
    for (long long i = 0; i < count; ++i) to[i] = to_float(from[i]);
}

extern "C" void from_floats(const float* from, scalar_t* to, long long count) {
    for (long long i = 0; i < count; ++i) to[i] = from_float(from[i]);
}
