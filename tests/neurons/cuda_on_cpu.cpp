// Builds the CUDA sources with a host compiler and runs their threads in turns.
//
// Types and vector width are macros as on the GPU (SCALAR, NEURONS_PER_THREAD,
// WIDE_INDEX); every other macro of the sources becomes a variable, so that one
// library runs all of their branches.
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__

struct Index {
    unsigned int x, y, z;
};
static Index gridDim, blockDim, blockIdx, threadIdx;

struct Settings {
    int T_STEPS, SURROGATE, SOFT_RESET, DECAY_INPUT, DETACH_RESET, PATH, EXACT_INVERSES;
    int LANE_CHANNELS, BLOCK_COLUMNS, BLOCK_THREADS, HELD, POOLED;
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
#define POOLED settings.POOLED

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

// A block's threads take turns: each runs until it meets a barrier, as all others do.
// Every thread has a stack of its own; the first switch to it is by ucontext, later ones
// by setjmp, which needs no system call.
const int MOST_THREADS = 256, STACK = 1 << 16, MOST_SHARED = 1 << 14;
struct Turn {
    ucontext_t start;
    jmp_buf place;
    bool begun, done;
};
static Turn turns[MOST_THREADS];
static char stacks[MOST_THREADS][STACK];
static jmp_buf scheduler;
static std::function<void()> thread_body;

static void __syncthreads() {
    if (_setjmp(turns[threadIdx.x].place) == 0) _longjmp(scheduler, 1);
}

static void run_thread() {
    thread_body();
    turns[threadIdx.x].done = true;
    _longjmp(scheduler, 1);
}

static void run_block(unsigned int threads) {
    for (unsigned int i = 0; i < threads; ++i) turns[i].begun = turns[i].done = false;
    for (bool running = true; running;) {
        running = false;
        for (volatile unsigned int i = 0; i < threads; ++i) {
            Turn& turn = turns[i];
            if (turn.done) continue;
            running = true;
            threadIdx.x = i;
            if (_setjmp(scheduler)) continue;
            if (turn.begun) _longjmp(turn.place, 1);
            turn.begun = true;
            getcontext(&turn.start);
            turn.start.uc_stack.ss_sp = stacks[i];
            turn.start.uc_stack.ss_size = STACK;
            turn.start.uc_link = nullptr;
            makecontext(&turn.start, run_thread, 0);
            setcontext(&turn.start);
        }
    }
}

static float __shfl_xor_sync(unsigned int, float value, int apart) {
    static float values[MOST_THREADS];
    values[threadIdx.x] = value;
    __syncthreads();
    const float other = values[threadIdx.x ^ apart];
    __syncthreads();
    return other;
}

static unsigned int atomicInc(unsigned int* address, unsigned int most) {
    const unsigned int old = *address;
    *address = old >= most ? 0 : old + 1;
    return old;
}

static void __threadfence() {}
static float __ldcg(const float* address) { return *address; }

#define SHARED_ARRAY(type, name, size) \
    static type name[MOST_SHARED];     \
    if ((size) > MOST_SHARED) std::abort()

#include "batch_moments.cu"
#include "mixed_lif_backward.cu"
#include "mixed_lif_forward.cu"
#include "norm_mixed_lif_backward.cu"
#include "norm_mixed_lif_forward.cu"
#include "norm_mixed_lif_pool_forward.cu"
#include "norm_mixed_lif_sums.cu"

struct Shape {
    Index blocks;
    unsigned int threads;
};

// Runs a kernel for every thread of every block; two parameters, then the kernel's own.
// Threads of a kernel with barriers take turns, others run one after another.
template <auto kernel, bool barriers = false>
struct Entry;

template <class... Parameters, void (*kernel)(Parameters...), bool barriers>
struct Entry<kernel, barriers> {
    static void launch(const Settings& with, const Shape& shape, Parameters... values) {
        settings = with;
        gridDim = shape.blocks;
        blockDim.x = shape.threads;
        for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
            for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
                for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                    if (barriers) {
                        thread_body = [&] { kernel(values...); };
                        run_block(blockDim.x);
                    } else {
                        for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
                            kernel(values...);
                    }
    }
};

extern "C" {
auto* launch_batch_moments = Entry<batch_moments, true>::launch;
auto* launch_mixed_lif_backward = Entry<mixed_lif_backward>::launch;
auto* launch_mixed_lif_forward = Entry<mixed_lif_forward>::launch;
auto* launch_norm_mixed_lif_backward = Entry<norm_mixed_lif_backward>::launch;
auto* launch_norm_mixed_lif_forward = Entry<norm_mixed_lif_forward>::launch;
auto* launch_norm_mixed_lif_pool_forward = Entry<norm_mixed_lif_pool_forward>::launch;
auto* launch_norm_mixed_lif_sums = Entry<norm_mixed_lif_sums, true>::launch;
}

extern "C" void to_floats(const scalar_t* from, float* to, long long count) {
    for (long long i = 0; i < count; ++i) to[i] = to_float(from[i]);
}

extern "C" void from_floats(const float* from, scalar_t* to, long long count) {
    for (long long i = 0; i < count; ++i) to[i] = from_float(from[i]);
}
