// Mean and variance of a channel, from the sums of x - shift and of its square over the
// batch, and what a batch norm remembers of them. With a shift near the mean nothing
// cancels, as it would in E[x^2] - E[x]^2. Memory traffic per neuron and step: 4 bytes in
// float32, 2 in bfloat16.
#include "channels.cuh"

#define SAMPLES 4  // whose mean is the shift

// Mean of a few values of a pack's place ``lane``, spread over the half, in step 0.
__device__ inline float shift_of(const scalar_t* x, const Walk& walk, index_t packs,
                                 index_t column, index_t half, int lane) {
    float sum = 0.0f;
#pragma unroll
    for (index_t i = 0; i < SAMPLES; ++i) {
        const index_t middle = packs * (2 * i + 1) / (2 * SAMPLES);
        const index_t base = walk.neuron(middle, column, half * packs * walk.columns);
        sum += to_float(x[base + lane]);
    }
    return sum / SAMPLES;
}

// x         [T][one time step as in channels.cuh]
// partial   [slices][halves][2][C], the blocks' sums; one of a few thousand values each,
//           so float32 does
// arrived   as in arrives_last
// mean, var   [halves][C], biased
// running_mean, running_var   [C], or null: they follow the first half, the variance
//             unbiased, by the share ``momentum``
// tracked   the number of batches that they have followed
extern "C" __global__ void batch_moments(
    const scalar_t* __restrict__ x, float* partial, unsigned int* arrived, float* mean,
    float* var, float* running_mean, float* running_var, long long* tracked,
    long long rows, long long columns, long long run, long long stride_t,
    float momentum) {
    const Walk walk(rows, columns, run);
    const index_t packs = (index_t)(rows * run);
    Lanes centre;
#pragma unroll
    for (int k = 0; k < NEURONS_PER_THREAD; ++k)
        centre.lane[k] = k < LANES ? shift_of(x, walk, packs, walk.column, blockIdx.z, k)
                                   : centre.lane[0];
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
    const double count = (double)packs * T_STEPS * (NEURONS_PER_THREAD / LANES);
    const auto finish = [&](index_t channel, const Totals& totals) {
        const index_t column = channel / LANES;
        const int lane = channel % LANES;
        for (index_t half = 0; half < gridDim.z; ++half) {
            const double apart = totals.of[half][0] / count;
            const double square = totals.of[half][1] / count - apart * apart;
            const double biased = square < 0.0 ? 0.0 : square;  // NaN passes
            const float shift = shift_of(x, walk, packs, column, half, lane);
            const float centre = (float)(shift + apart);
            mean[half * walk.channels() + channel] = centre;
            var[half * walk.channels() + channel] = (float)biased;
            if (half == 0 && running_mean != nullptr) {
                const float unbiased = (float)(biased * (count / (count - 1.0)));
                running_mean[channel] += momentum * (centre - running_mean[channel]);
                running_var[channel] += momentum * (unbiased - running_var[channel]);
                if (channel == 0) *tracked += 1;
            }
        }
    };
    add_up_blocks(gathered, walk, partial, arrived, finish);
}
