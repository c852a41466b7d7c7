// Memory access of the CUDA kernels: types, vectors, addresses.
//
// Everything fixed for one layer is a macro, set by cuda_source.py, so that branches
// on it cost nothing and loops over time unroll into registers. Here:
//   T_STEPS             number of time steps
//   SCALAR              FLOAT32, FLOAT16 or BFLOAT16: type in memory; arithmetic is
//                       always float32
//   NEURONS_PER_THREAD  1, 2, 4 or 8 neighbours in memory, moved as one vector
//   WIDE_INDEX          1 if the tensor has 2^31 elements or more
#pragma once

#define FLOAT32 0
#define FLOAT16 1
#define BFLOAT16 2

#if WIDE_INDEX
typedef unsigned long long index_t;
#else
typedef unsigned int index_t;
#endif

// Loops over time unroll, so that arrays indexed by t are registers. Very long ones
// would take the compiler minutes; their arrays lie in local memory.
const int UNROLLED_STEPS = T_STEPS <= 128 ? T_STEPS : 1;

#ifdef __CUDACC__  // a host compiler, as in the tests, brings its own
#define SHARED_ARRAY(type, name, size) __shared__ type name[size]

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
