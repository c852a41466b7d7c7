// First backward pass of a batch norm and MixedLIF: with G(y) the gradient of the batch
// norm's output, adds up S = sum G(y) and P = sum G(y) (x - mean) over the neurons and
// time steps of a channel. They give the gradients of bias (S) and weight (rstd P), and
// the second pass needs them. G(y) is not written: recomputing it there costs less than
// the memory traffic, 8 bytes per neuron and step in float32, 4 in bfloat16.
#include "norm_mixed_lif.cuh"

// grad, x   [T][one time step as in channels.cuh], a held x [one time step]
// mean, rstd, weight, bias, group_stride   as in Norm
// sums   [slices][halves][2][C], S and P of each block's share of the rows; the caller
//        adds up the slices in float64
extern "C" __global__ void norm_mixed_lif_sums(
    const scalar_t* __restrict__ grad, const scalar_t* __restrict__ x,
    const float* __restrict__ mean, const float* __restrict__ rstd,
    const float* __restrict__ weight, const float* __restrict__ bias,
    float* __restrict__ sums, long long group_stride, long long rows, long long columns,
    long long run, long long stride_t, float tau, float theta, float rest,
    float width) {
    const Neuron neuron(tau, theta, rest, width);
    const Walk walk(rows, columns, run);
    const Norm norm(mean, rstd, weight, bias, group_stride, walk);
    Sums gathered;
    const auto add = [&](int, const Pack& x_t, const Lanes& gradient) {
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            const float centred = norm.centred(to_float(x_t.lane[k]), k);
            gathered.of[0].lane[k] += gradient.lane[k];
            gathered.of[1].lane[k] += gradient.lane[k] * centred;
        }
    };
    for (index_t i = walk.first; i < walk.end; i += walk.step)
        backpropagate(grad, x, walk.neuron(i), (index_t)stride_t, neuron, norm, add);
    write_block_sums(gathered, walk, sums);
}
