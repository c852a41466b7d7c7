// What the forward and the backward kernel of MixedLIF share.
//
// Everything fixed for one layer is a macro, set by cuda_source.py, so that branches
// on it cost nothing and loops over time unroll into registers:
//   T_STEPS             number of time steps
//   SCALAR              FLOAT32, FLOAT16 or BFLOAT16: type in memory; arithmetic is
//                       always float32
//   SURROGATE           RECTANGLE, TRIANGLE, ATAN or SIGMOID
//   SOFT_RESET, DECAY_INPUT                  0 or 1; the backward also DETACH_RESET
//   PATH                SPIKE, ANALOG or DUAL; the forward only
//   NEURONS_PER_THREAD  1, 2, 4 or 8 neighbours in memory, moved as one vector
//   EXACT_INVERSES      1 if tau and width are powers of two
//   WIDE_INDEX          1 if the tensor has 2^31 elements or more
//
// Compile with --fmad=false. A fused multiply-add rounds once where the reference
// rounds twice; that moves a membrane across the threshold and flips a spike.
#pragma once

#define FLOAT32 0
#define FLOAT16 1
#define BFLOAT16 2
#define RECTANGLE 0
#define TRIANGLE 1
#define ATAN 2
#define SIGMOID 3
#define SPIKE 0
#define ANALOG 1
#define DUAL 2

#if WIDE_INDEX
typedef unsigned long long index_t;
#else
typedef unsigned int index_t;
#endif

// Loops over time unroll, so that arrays indexed by t are registers. Very long ones
// would take the compiler minutes; their arrays lie in local memory.
const int UNROLLED_STEPS = T_STEPS <= 128 ? T_STEPS : 1;

// Memory: conversion and addressing. --------------------------------------------------

#ifdef __CUDACC__  // a host compiler, as in the tests, brings its own
__device__ inline float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ inline unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

__device__ inline float bfloat16_to_float(unsigned short bits) {
    return __uint_as_float((unsigned int)bits << 16);
}

// Round to nearest, ties to even; the carry of the addition raises the exponent.
__device__ inline unsigned short float_to_bfloat16(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800  // one instruction instead of eight
    unsigned short nearest;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(nearest) : "f"(value));
    return nearest;
#else
    const unsigned int bits = __float_as_uint(value);
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    const unsigned int rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    return (unsigned short)((is_nan ? bits | 0x400000u : rounded) >> 16);
#endif
}

#if SCALAR == FLOAT32
typedef float scalar_t;
__device__ inline float to_float(scalar_t value) { return value; }
__device__ inline scalar_t from_float(float value) { return value; }
#elif SCALAR == FLOAT16
typedef unsigned short scalar_t;
__device__ inline float to_float(scalar_t bits) { return half_to_float(bits); }
__device__ inline scalar_t from_float(float value) { return float_to_half(value); }
#else
typedef unsigned short scalar_t;
__device__ inline float to_float(scalar_t bits) { return bfloat16_to_float(bits); }
__device__ inline scalar_t from_float(float value) { return float_to_bfloat16(value); }
#endif

// One thread's neurons at one time step: a single load or store of up to 16 bytes.
struct alignas(sizeof(scalar_t) * NEURONS_PER_THREAD) Pack {
    scalar_t lane[NEURONS_PER_THREAD];
};

__device__ inline Pack load(const scalar_t* memory, index_t offset) {
    return *reinterpret_cast<const Pack*>(memory + offset);
}

__device__ inline void store(scalar_t* memory, index_t offset, const Pack& pack) {
    *reinterpret_cast<Pack*>(memory + offset) = pack;
}

// Where step 0 of a neuron lies; step t lies t * stride_t further. Memory is
// [outer][T][stride_t] with any axes in outer and inside stride_t.
__device__ inline index_t first_step(index_t neuron, index_t stride_t) {
    return neuron + neuron / stride_t * stride_t * (T_STEPS - 1);
}

// The neuron; operations in the order of reference.py. ---------------------------------

struct Neuron {
    float tau, inverse_tau, theta, rest, width, inverse_width;

    __device__ Neuron(float tau, float theta, float rest, float width)
        : tau(tau), inverse_tau(1.0f / tau), theta(theta), rest(rest), width(width),
          inverse_width(1.0f / width) {}

    // Multiplying with the inverse of a power of two equals the division bit for bit,
    // at a tenth of its instructions.
    __device__ float over_tau(float a) const {
        return EXACT_INVERSES ? a * inverse_tau : a / tau;
    }

    __device__ float over_width(float a) const {
        return EXACT_INVERSES ? a * inverse_width : a / width;
    }

    __device__ float charge(float v, float x) const {
        if (DECAY_INPUT) return v + over_tau(x - (v - rest));
        return v - over_tau(v - rest) + x;
    }

    __device__ bool fires(float u) const { return u - theta >= 0.0f; }

    __device__ float reset(float u, bool spike) const {
        if (SOFT_RESET) return spike ? u - theta : u;
        return spike ? rest : u;
    }

    // h(u - theta) of surrogate.py. Comparisons are written so that NaN passes through.
    __device__ float derivative(float u) const {
        const float d = u - theta;
        if (SURROGATE == RECTANGLE)
            return fabsf(d) < 0.5f * width ? inverse_width : 0.0f;
        if (SURROGATE == TRIANGLE) {
            const float side = 1.0f - over_width(fabsf(d));
            return over_width(side < 0.0f ? 0.0f : side);
        }
        if (SURROGATE == ATAN) {
            const float scaled = 1.57079633f * width * d;
            return 0.5f * width / (1.0f + scaled * scaled);
        }
        const float g = 1.0f / (1.0f + expf(-width * d));
        return width * g * (1.0f - g);
    }

    // g(u - theta), the antiderivative of h.
    __device__ float antiderivative(float u) const {
        const float d = u - theta;
        if (SURROGATE == RECTANGLE) {
            const float ramp = over_width(d) + 0.5f;
            return ramp < 0.0f ? 0.0f : ramp > 1.0f ? 1.0f : ramp;
        }
        if (SURROGATE == TRIANGLE) {
            const float side = 1.0f - over_width(fabsf(d));
            const float tail = side < 0.0f ? 0.0f : 0.5f * side * side;
            return d < 0.0f ? tail : 1.0f - tail;
        }
        if (SURROGATE == ATAN)
            return 0.318309886f * atanf(1.57079633f * width * d) + 0.5f;
        return 1.0f / (1.0f + expf(-width * d));
    }
};
