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
    unsigned int x, y, z;
};
static Index gridDim, blockDim, blockIdx, threadIdx;

struct Settings {
    int T_STEPS, SURROGATE, SOFT_RESET, DECAY_INPUT, DETACH_RESET, PATH, EXACT_INVERSES;
    int LANE_CHANNELS, BLOCK_COLUMNS, BLOCK_THREADS, HELD;
};
static Settings settings;
#define T_STEPS settings.T_STEPS
#define SURROGATE settings.SURROGATE
#define SOFT_RESET settings.SOFT_RESET
#define DECAY_INPUT settings.DECAY_INPUT
#define DETACH_RESET settings.DETACH_RESET
#define PATH settings.PATH
#define EXACT_INVERSES settings.EXACT_INVERSES
#define LANE_CHANNELS settings.LANE_CHANNELS
#define BLOCK_COLUMNS settings.BLOCK_COLUMNS
#define BLOCK_THREADS settings.BLOCK_THREADS
#define HELD settings.HELD

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

#include "channels.cuh"

// The threads of a block run in turn; the first of a column starts its sum.
static void write_block_sums(const Sums& sums, const Walk& walk, float* out) {
    if (blockIdx.x * BLOCK_COLUMNS + threadIdx.x % BLOCK_COLUMNS >= walk.columns) return;
    for (int i = 0; i < 2 * LANES; ++i) {
        float& sum = out[sum_offset(walk, walk.column, i)];
        sum = (threadIdx.x < (unsigned int)BLOCK_COLUMNS ? 0.0f : sum) + sums.value(i);
    }
}

#include "batch_moments.cu"
#include "mixed_lif_backward.cu"
#include "mixed_lif_forward.cu"
#include "norm_mixed_lif_backward.cu"
#include "norm_mixed_lif_forward.cu"
#include "norm_mixed_lif_sums.cu"

struct Shape {
    Index blocks;
    unsigned int threads;
};

// Runs a kernel for every thread of every block; two parameters, then the kernel's own.
template <auto kernel>
struct Entry;

template <class... Parameters, void (*kernel)(Parameters...)>
struct Entry<kernel> {
    static void launch(const Settings& with, const Shape& shape, Parameters... values) {
        settings = with;
        gridDim = shape.blocks;
        blockDim.x = shape.threads;
        for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
            for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
                for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
                        kernel(values...);
    }
};

extern "C" {
auto* launch_batch_moments = Entry<batch_moments>::launch;
auto* launch_mixed_lif_backward = Entry<mixed_lif_backward>::launch;
auto* launch_mixed_lif_forward = Entry<mixed_lif_forward>::launch;
auto* launch_norm_mixed_lif_backward = Entry<norm_mixed_lif_backward>::launch;
auto* launch_norm_mixed_lif_forward = Entry<norm_mixed_lif_forward>::launch;
auto* launch_norm_mixed_lif_sums = Entry<norm_mixed_lif_sums>::launch;
}

extern "C" void to_floats(const scalar_t* from, float* to, long long count) {
    for (long long i = 0; i < count; ++i) to[i] = to_float(from[i]);
}

extern "C" void from_floats(const float* from, scalar_t* to, long long count) {
    for (long long i = 0; i < count; ++i) to[i] = from_float(from[i]);
}
