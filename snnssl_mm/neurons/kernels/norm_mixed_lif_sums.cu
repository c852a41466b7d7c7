// First backward pass of a batch norm and MixedLIF: with G(y) the gradient of the batch
// norm's output, adds up S = sum G(y) and P = sum G(y) (x - mean) over the neurons and
// time steps of a channel, for the second pass, and gives the gradients of bias (the sum
// of S over the halves) and weight (that of rstd P). G(y) is not written: recomputing it
// there costs less than the memory traffic, 8 bytes per neuron and step in float32, 4 in
// bfloat16.
#include "norm_mixed_lif.cuh"

// grad, window, stride_grad, height, width   as in OutputGradient
// x         [T][one time step as in channels.cuh], a held x [one time step]
// mean, var, weight, bias, group_stride, eps   as in Norm
// partial   [slices][halves][2][C], the blocks' sums
// arrived   as in arrives_last
// totals    [halves][2][C], S and P; where the halves share their statistics, and so
//           the walk has one half, [2][C]
// grad_weight, grad_bias   [C]
extern "C" __global__ void norm_mixed_lif_sums(
    const scalar_t* __restrict__ grad, const unsigned char* __restrict__ window,
    const scalar_t* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ var,
    const float* __restrict__ weight, const float* __restrict__ bias, float* partial,
    unsigned int* arrived, float* totals, float* grad_weight, float* grad_bias,
    long long group_stride, long long rows, long long columns, long long run,
    long long stride_t, long long stride_grad, long long height, long long width,
    float eps, float tau, float theta, float rest, float surrogate_width) {
    const Neuron neuron(tau, theta, rest, surrogate_width);
    const Walk walk(rows, columns, run);
    const Norm norm(mean, var, weight, bias, eps, group_stride, walk);
    Sums gathered;
    const auto add = [&](int, const Pack& x_t, const Lanes& gradient) {
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            const float centred = norm.centred(to_float(x_t.lane[k]), k);
            gathered.of[0].lane[k] += gradient.lane[k];
            gathered.of[1].lane[k] += gradient.lane[k] * centred;
        }
    };
    for (index_t i = walk.first; i < walk.end; i += walk.step) {
        const OutputGradient of_output(grad, window, walk, i, (index_t)stride_grad,
                                       (index_t)height, (index_t)width);
        backpropagate(of_output, x, walk.neuron(i), (index_t)stride_t, neuron, norm,
                      add);
    }
    const auto finish = [&](index_t channel, const Totals& of_channel) {
        double plain = 0.0, products = 0.0;
        for (index_t half = 0; half < gridDim.z; ++half) {
            const double* both = of_channel.of[half];
            const float inverse = rstd(var[half * group_stride + channel], eps);
            totals[half * 2 * walk.channels() + channel] = (float)both[0];
            totals[(half * 2 + 1) * walk.channels() + channel] = (float)both[1];
            plain += both[0];
            products += both[1] * inverse;
        }
        grad_weight[channel] = (float)products;
        grad_bias[channel] = (float)plain;
    };
    add_up_blocks(gathered, walk, partial, arrived, finish);
}
