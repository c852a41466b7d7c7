// Sums of x - shift and of its square over a channel, for its mean and its variance.
// With a shift near the mean nothing cancels, as it would in E[x^2] - E[x]^2. Memory
// traffic per neuron and step: 4 bytes in float32, 2 in bfloat16.
#include "channels.cuh"

// x       [T][one time step as in channels.cuh]
// shift   [halves][C]
// sums    [slices][halves][2][C]; one of a few thousand values each, so float32 does
extern "C" __global__ void batch_moments(
    const scalar_t* __restrict__ x, const float* __restrict__ shift,
    float* __restrict__ sums, long long rows, long long columns, long long run,
    long long stride_t) {
    const Walk walk(rows, columns, run);
    const float* of_half = shift + blockIdx.z * walk.channels();
    const Lanes centre = of_column(of_half, walk.column);
    Sums gathered;
    for (index_t i = walk.first; i < walk.end; i += walk.step) {
        const index_t base = walk.neuron(i);
        Pack steps[T_STEPS];  // all loads under way before the first is needed
#pragma unroll UNROLLED_STEPS
        for (int t = 0; t < T_STEPS; ++t) steps[t] = load(x, base + t * (index_t)stride_t);
#pragma unroll UNROLLED_STEPS
        for (int t = 0; t < T_STEPS; ++t) {
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
                const float difference = to_float(steps[t].lane[k]) - centre.lane[k];
                gathered.of[0].lane[k] += difference;
                gathered.of[1].lane[k] += difference * difference;
            }
        }
    }
    write_block_sums(gathered, walk, sums);
}
