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
    index_t rows, columns, run, column, origin, first, step, end;

    __device__ Walk(long long rows, long long columns, long long run)
        : rows((index_t)rows), columns((index_t)columns), run((index_t)run),
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
    __device__ index_t neuron(index_t i) const { return neuron(i, column, origin); }

    // Likewise, of another column and of a half that begins at another ``origin``.
    __device__ index_t neuron(index_t i, index_t column, index_t origin) const {
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

// Add up the threads of a block, always in the same order, and write the result.
__device__ inline void write_block_sums(const Sums& sums, const Walk& walk, float* out) {
    const int warps = BLOCK_THREADS / 32;
    SHARED_ARRAY(float, of_warps, 2 * LANES * warps * BLOCK_COLUMNS);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 2 * LANES; ++i) {
        float sum = sums.value(i);
#pragma unroll
        for (int apart = 16; apart >= BLOCK_COLUMNS; apart /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, apart);
        const int row = i * warps + warp;
        if (lane < BLOCK_COLUMNS) of_warps[row * BLOCK_COLUMNS + lane] = sum;
    }
    __syncthreads();
    for (int n = threadIdx.x; n < 2 * LANES * BLOCK_COLUMNS; n += BLOCK_THREADS) {
        const int i = n / BLOCK_COLUMNS, place = n % BLOCK_COLUMNS;
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < warps; ++w)
            sum += of_warps[(i * warps + w) * BLOCK_COLUMNS + place];
        const index_t column = blockIdx.x * BLOCK_COLUMNS + place;
        if (column < walk.columns) out[sum_offset(walk, column, i)] = sum;
    }
}

// Whether this block is the last of its columns to arrive. It then sees what the other
// ones have written. ``arrived`` [gridDim.x] is zero before, and zero again afterwards.
__device__ inline bool arrives_last(unsigned int* arrived) {
    SHARED_ARRAY(bool, last, 1);
    __threadfence();  // what this thread has written comes first
    __syncthreads();
    if (threadIdx.x == 0) {
        const unsigned int others = gridDim.y * gridDim.z - 1;
        last[0] = atomicInc(arrived + blockIdx.x, others) == others;
    }
    __syncthreads();
    if (last[0]) __threadfence();
    return last[0];
}

// Both sums of a channel over all blocks, for each half: of[half][i].
struct Totals {
    double of[2][2];
};

// Add up the blocks' sums in ``partial`` [slices][halves][2][C], in float64 and always in
// the same order, and hand them to finish(channel, totals): once for each channel, by the
// block that arrives last. The results of a reduction are so ready after one kernel.
template <class Finish>
__device__ inline void add_up_blocks(const Sums& sums, const Walk& walk, float* partial,
                                     unsigned int* arrived, const Finish& finish) {
    write_block_sums(sums, walk, partial);
    if (!arrives_last(arrived)) return;
    const int channels = LANES * BLOCK_COLUMNS;  // of this block
    const int parts = BLOCK_THREADS > channels ? BLOCK_THREADS / channels : 1;
    SHARED_ARRAY(double, shares, parts * 4 * channels);  // each part adds up some slices
    const int count = 2 * gridDim.z;
    for (int n = threadIdx.x; n < parts * channels; n += BLOCK_THREADS) {
        const int part = n / channels, place = n % channels;
        const index_t channel = blockIdx.x * channels + place;
        double share[4] = {0.0, 0.0, 0.0, 0.0};
        if (channel < walk.channels()) {
#pragma unroll 4  // several loads under way
            for (index_t slice = part; slice < gridDim.y; slice += parts) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const index_t row = slice * count + i;
                    // past the first cache, which does not see other blocks' writes
                    const float* sum = partial + row * walk.channels() + channel;
                    if (i < count) share[i] += __ldcg(sum);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) shares[(part * 4 + i) * channels + place] = share[i];
    }
    __syncthreads();
    for (int place = threadIdx.x; place < channels; place += BLOCK_THREADS) {
        const index_t channel = blockIdx.x * channels + place;
        if (channel >= walk.channels()) continue;
        Totals totals;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            double total = 0.0;
            for (int part = 0; part < parts; ++part)
                total += shares[(part * 4 + i) * channels + place];
            totals.of[i / 2][i % 2] = total;
        }
        finish(channel, totals);
    }
}
