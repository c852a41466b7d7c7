// Max-pooling of channels-last maps to half their size: 3x3 windows, stride 2, padding 1.
//
// Window (oh, ow) covers rows 2 oh - 1 to 2 oh + 1 and columns 2 ow - 1 to 2 ow + 1 of a
// map; the place of (h, w) in it is 3 (h - 2 oh + 1) + (w - 2 ow + 1), from 0 to 8. A
// thread's column then holds a channel for each neuron of a pack: LANE_CHANNELS is 1.
#pragma once
#include "channels.cuh"

// Places of a pack's maxima.
struct alignas(NEURONS_PER_THREAD) Places {
    unsigned char lane[NEURONS_PER_THREAD];
};

// A position of the maps of all samples, and where it lies.
struct Position {
    index_t n, h, w;

    // The i-th of a half; its maps have ``height`` rows and ``width`` columns.
    __device__ Position(const Walk& walk, index_t i, index_t height, index_t width) {
        const index_t position = blockIdx.z * walk.rows + i;
        const index_t row = position / width;
        n = row / height, h = row - n * height, w = position - row * width;
    }
};

// Where the pack of a column lies in a time step, at (h, w) of maps of these sides.
__device__ inline index_t pack_at(const Walk& walk, index_t n, index_t h, index_t w,
                                  index_t height, index_t width) {
    const index_t position = (n * height + h) * width + w;
    return (position * walk.columns + walk.column) * NEURONS_PER_THREAD;
}
