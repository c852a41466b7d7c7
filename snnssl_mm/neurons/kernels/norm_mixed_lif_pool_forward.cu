// Forward pass of a batch norm, MixedLIF and max-pooling: outputs of full size stay in
// registers. A thread computes the up to nine neurons of a window, so each neuron 2.25
// times on average, from x in the caches. Memory traffic per neuron and step: 5.25 bytes
// in float32, 2.75 in bfloat16, a byte of them for every place.
#include "norm_mixed_lif.cuh"

// x        [T][N][height][width][C], a held x [N][height][width][C]
// out      [T][N][half the sides][C]; one time step as in channels.cuh, ``stride_out``
// window   places of the maxima in their windows, likewise
// mean, var, weight, bias, group_stride, eps   as in Norm
extern "C" __global__ void norm_mixed_lif_pool_forward(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ out,
    unsigned char* __restrict__ window, const float* __restrict__ mean,
    const float* __restrict__ var, const float* __restrict__ weight,
    const float* __restrict__ bias, long long group_stride, long long rows,
    long long columns, long long run, long long stride_t, long long stride_out,
    long long height, long long width, float eps, float tau, float theta, float rest,
    float surrogate_width) {
    const Neuron neuron(tau, theta, rest, surrogate_width);
    const Walk walk(rows, columns, run);
    const Norm norm(mean, var, weight, bias, eps, group_stride, walk);
    const bool analog = PATH == ANALOG || (PATH == DUAL && blockIdx.z == 1);
    const index_t high = (index_t)height, wide = (index_t)width;
    for (index_t i = walk.first; i < walk.end; i += walk.step) {
        const Position at(walk, i, (high + 1) / 2, (wide + 1) / 2);
        Lanes best[T_STEPS];
        int places[T_STEPS][NEURONS_PER_THREAD];
#pragma unroll UNROLLED_STEPS
        for (int t = 0; t < T_STEPS; ++t) best[t] = same_in_all(-1.0f);  // none is below 0
#pragma unroll 1
        for (int place = 0; place < 9; ++place) {
            const index_t h = 2 * at.h + place / 3 - 1, w = 2 * at.w + place % 3 - 1;
            if (h >= high || w >= wide) continue;  // also -1, which wraps around
            // The first of equal values counts, and NaN as the largest, as in torch.
            const auto merge = [&](int t, const Lanes& outputs) {
#pragma unroll
                for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
                    const float value = outputs.lane[k];
                    const bool larger = value > best[t].lane[k] || value != value;
                    best[t].lane[k] = larger ? value : best[t].lane[k];
                    places[t][k] = larger ? place : places[t][k];
                }
            };
            const index_t base = pack_at(walk, at.n, h, w, high, wide);
            fire(x, base, (index_t)stride_t, neuron, norm, analog, merge);
        }
        const index_t base = walk.neuron(i);
#pragma unroll UNROLLED_STEPS
        for (int t = 0; t < T_STEPS; ++t) {
            const index_t offset = base + t * (index_t)stride_out;
            Pack out_t;
            Places places_t;
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
                out_t.lane[k] = from_float(best[t].lane[k]);
                places_t.lane[k] = (unsigned char)places[t][k];
            }
            store(out, offset, out_t);
            *reinterpret_cast<Places*>(window + offset) = places_t;
        }
    }
}
