// Second backward pass of a batch norm and MixedLIF: with G(y) the gradient of the norm's
// output, S = sum G(y) and P = sum G(y) (x - mean) over the M values of a channel,
//
//   G(x) = scale (G(y) - S / M - (x - mean) rstd^2 P / M)
//
// where mean and variance are those of the batch: they depend on x, with dL/dmean =
// -scale S and dL/dvar = -weight rstd^3 P / 2. With running statistics it is scale G(y),
// by share = 0. Memory traffic per neuron and step: 12 bytes in float32, 6 in bfloat16.
#include "norm_mixed_lif.cuh"

// grad, window, stride_grad, height, width   as in OutputGradient
// x, grad_x   [T][one time step as in channels.cuh], or held [one time step]
// mean, var, weight, bias, group_stride, eps   as in Norm
// sums    [G, 2, C], S and P
// share   1 / M, or 0 if the statistics are not those of the batch
extern "C" __global__ void norm_mixed_lif_backward(
    const scalar_t* __restrict__ grad, const unsigned char* __restrict__ window,
    const scalar_t* __restrict__ x, scalar_t* __restrict__ grad_x, const float* __restrict__ mean,
    const float* __restrict__ var, const float* __restrict__ weight,
    const float* __restrict__ bias, const float* __restrict__ sums,
    long long group_stride, long long rows, long long columns, long long run,
    long long stride_t, long long stride_grad, long long height, long long width,
    float eps, float tau, float theta, float rest, float surrogate_width, float share) {
    const Neuron neuron(tau, theta, rest, surrogate_width);
    const Walk walk(rows, columns, run);
    const Norm norm(mean, var, weight, bias, eps, group_stride, walk);
    const float* group = sums + blockIdx.z * 2 * group_stride;
    Lanes shift = of_column(group, walk.column);
    Lanes slope = of_column(group + walk.channels(), walk.column);
    const Lanes variance = of_column(var + blockIdx.z * group_stride, walk.column);
#pragma unroll
    for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
        shift.lane[k] *= share;
        const float inverse = rstd(variance.lane[k], eps);
        slope.lane[k] *= inverse * inverse * share;
    }
    for (index_t i = walk.first; i < walk.end; i += walk.step) {
        const index_t base = walk.neuron(i);
        const OutputGradient of_output(grad, window, walk, i, (index_t)stride_grad,
                                       (index_t)height, (index_t)width);
        const auto write = [&](int t, const Pack& x_t, const Lanes& gradient) {
            Pack result;
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
                const float centred = norm.centred(to_float(x_t.lane[k]), k);
                const float rest_of_it = gradient.lane[k] - shift.lane[k];
                const float all = rest_of_it - centred * slope.lane[k];
                result.lane[k] = from_float(norm.scale.lane[k] * all);
            }
            store(grad_x, base + t * (index_t)stride_t, result);
        };
        backpropagate(of_output, x, base, (index_t)stride_t, neuron, norm, write);
    }
}
