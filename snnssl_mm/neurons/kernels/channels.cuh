// Order in which the batch norm kernels walk memory, and their sums over channels.
//
// One time step is [halves][rows][columns][run] packs. The neurons of a column have the
// same channels: contiguous, a column is one channel and ``run`` its packs in a sample;
// channels last, it is NEURONS_PER_THREAD channels side by side, and run is 1. Halves
// are of the samples, which may differ in path and in statistics.
//
// A thread stays in its column, so that it reads the channels' values once. Blocks are
// numbered [half][slice of the rows][group of columns].
//
// Macros, besides those of memory.cuh:
//   LANE_CHANNELS   1 if the neurons of a pack have channels of their own
//   BLOCK_COLUMNS   columns of a block: 1, 2, 4, 8, 16 or 32
//   BLOCK_THREADS   threads of a block, a multiple of 32
#pragma once
#include "memory.cuh"

#define LANES (LANE_CHANNELS ? NEURONS_PER_THREAD : 1)  // channels of a column

struct Walk {
    index_t columns, run, column, origin, first, step, end;

    __device__ Walk(long long rows, long long columns, long long run)
        : columns((index_t)columns), run((index_t)run),
          column(blockIdx.x * BLOCK_COLUMNS + threadIdx.x % BLOCK_COLUMNS),
          origin(blockIdx.z * (index_t)(rows * columns * run)) {
        const index_t threads = BLOCK_THREADS / BLOCK_COLUMNS;
        first = blockIdx.y * threads + threadIdx.x / BLOCK_COLUMNS;
        step = gridDim.y * threads;
        end = (index_t)(rows * run);
        if (column >= this->columns) {  // left over in the last block: has nothing to do
            column = this->columns - 1;
            end = 0;
        }
    }

    __device__ index_t channels() const { return columns * LANES; }

    // Where the column's i-th pack lies in its time step.
    __device__ index_t neuron(index_t i) const {
        const index_t row = LANE_CHANNELS ? i : i / run;
        const index_t position = LANE_CHANNELS ? 0 : i - row * run;
        const index_t pack = (row * columns + column) * run + position;
        return (origin + pack) * NEURONS_PER_THREAD;
    }
};

// One value for each neuron of a pack; registers only where they differ.
struct alignas(NEURONS_PER_THREAD < 4 ? 4 * NEURONS_PER_THREAD : 16) Lanes {
    float lane[NEURONS_PER_THREAD];
};

__device__ inline Lanes same_in_all(float value) {
    Lanes lanes;
#pragma unroll
    for (int k = 0; k < NEURONS_PER_THREAD; ++k) lanes.lane[k] = value;
    return lanes;
}

// What a column's neurons have of ``values`` [C].
__device__ inline Lanes of_column(const float* values, index_t column) {
    if (LANE_CHANNELS) return reinterpret_cast<const Lanes*>(values)[column];
    return same_in_all(values[column]);
}

// Two sums for each channel that a thread adds up.
struct Sums {
    Lanes of[2];

    __device__ Sums() : of{same_in_all(0.0f), same_in_all(0.0f)} {}

    // The i-th of the 2 * LANES sums of a thread's column.
    __device__ float value(int i) const {
        if (LANE_CHANNELS) return of[i / LANES].lane[i % LANES];
        float total = 0.0f;
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) total += of[i].lane[k];
        return total;
    }
};

// Where a block writes it, in [slices][halves][2][C].
__device__ inline index_t sum_offset(const Walk& walk, index_t column, int i) {
    const index_t part = (blockIdx.y * gridDim.z + blockIdx.z) * 2 + i / LANES;
    return part * walk.channels() + column * LANES + i % LANES;
}

#ifdef __CUDACC__  // a host compiler, which runs one thread after another, has its own
// Add up the threads of a block, always in the same order, and write the result.
__device__ inline void write_block_sums(const Sums& sums, const Walk& walk, float* out) {
    const int warps = BLOCK_THREADS / 32;
    __shared__ float of_warps[2 * LANES][warps][BLOCK_COLUMNS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 2 * LANES; ++i) {
        float sum = sums.value(i);
#pragma unroll
        for (int apart = 16; apart >= BLOCK_COLUMNS; apart /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, apart);
        if (lane < BLOCK_COLUMNS) of_warps[i][warp][lane] = sum;
    }
    __syncthreads();
    for (int n = threadIdx.x; n < 2 * LANES * BLOCK_COLUMNS; n += BLOCK_THREADS) {
        const int i = n / BLOCK_COLUMNS, place = n % BLOCK_COLUMNS;
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < warps; ++w) sum += of_warps[i][w][place];
        const index_t column = blockIdx.x * BLOCK_COLUMNS + place;
        if (column < walk.columns) out[sum_offset(walk, column, i)] = sum;
    }
}
#endif
