// Forward pass of a batch norm and MixedLIF: reads x once, writes the spikes once; the
// batch norm's output stays in registers. Memory traffic per neuron and step: 8
// bytes in float32, 4 in bfloat16; of a held x, 4 and 2 and one x for all steps.
#include "norm_mixed_lif.cuh"

// x, out   [T][one time step as in channels.cuh], a held x [one time step]
// mean, var, weight, bias, group_stride, eps   as in Norm
extern "C" __global__ void norm_mixed_lif_forward(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ out,
    const float* __restrict__ mean, const float* __restrict__ var,
    const float* __restrict__ weight, const float* __restrict__ bias,
    long long group_stride, long long rows, long long columns, long long run,
    long long stride_t, float eps, float tau, float theta, float rest, float width) {
    const Neuron neuron(tau, theta, rest, width);
    const Walk walk(rows, columns, run);
    const Norm norm(mean, var, weight, bias, eps, group_stride, walk);
    const bool analog = PATH == ANALOG || (PATH == DUAL && blockIdx.z == 1);
    for (index_t i = walk.first; i < walk.end; i += walk.step) {
        const index_t base = walk.neuron(i);
        const auto write = [&](int t, const Lanes& outputs) {
            Pack out_t;
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k)
                out_t.lane[k] = from_float(outputs.lane[k]);
            store(out, base + t * (index_t)stride_t, out_t);
        };
        fire(x, base, (index_t)stride_t, neuron, norm, analog, write);
    }
}
