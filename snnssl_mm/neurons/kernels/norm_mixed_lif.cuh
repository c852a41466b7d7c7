// A batch norm in front of MixedLIF, fused into it: y = (x - mean) scale + bias per
// channel, scale = rstd weight, is the neuron's input current and stays in registers.
//
// Its macro, besides those of the other headers:
//   HELD   1 if x has one time step, which is the input of all T_STEPS
#pragma once
#include "channels.cuh"
#include "mixed_lif.cuh"

#define X_STEPS (HELD ? 1 : T_STEPS)

// 1 / sqrt(var + eps), rounded as on the CPU.
__device__ inline float rstd(float var, float eps) { return 1.0f / sqrtf(var + eps); }

// The batch norm of a thread's column.
struct Norm {
    Lanes mean, scale, bias;

    // mean, var   [G, C]; group_stride is C if the halves differ, else 0
    // weight, bias   [C]
    __device__ Norm(const float* mean, const float* var, const float* weight,
                    const float* bias, float eps, long long group_stride,
                    const Walk& walk)
        : mean(of_column(mean + blockIdx.z * group_stride, walk.column)),
          scale(of_column(var + blockIdx.z * group_stride, walk.column)),
          bias(of_column(bias, walk.column)) {
        const Lanes weights = of_column(weight, walk.column);
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k)
            scale.lane[k] = rstd(scale.lane[k], eps) * weights.lane[k];
    }

    __device__ float centred(float x, int k) const { return x - mean.lane[k]; }

    __device__ float apply(float x, int k) const {
        return centred(x, k) * scale.lane[k] + bias.lane[k];
    }
};

// Gradient G(y) of the normalised input of a pack, from ``grad`` of the output:
// recomputes the membranes, applies Neuron::propagate from the last time step to the
// first, and hands each time step t of x to take(t, x_t, G(y[t])). A held x is the input
// of all time steps: take is called once, with sum_t G(y[t]).
template <class Take>
__device__ inline void backpropagate(
    const scalar_t* __restrict__ grad, const scalar_t* __restrict__ x, index_t base,
    index_t stride_t, const Neuron& neuron, const Norm& norm, const Take& take) {
    Pack inputs[X_STEPS];  // all loads under way before the first is needed
#pragma unroll UNROLLED_STEPS
    for (int t = 0; t < X_STEPS; ++t) inputs[t] = load(x, base + t * stride_t);
    float u[T_STEPS][NEURONS_PER_THREAD];
    Lanes v = same_in_all(neuron.rest);
#pragma unroll UNROLLED_STEPS
    for (int t = 0; t < T_STEPS; ++t) {
        const Pack x_t = inputs[HELD ? 0 : t];
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            const float current = norm.apply(to_float(x_t.lane[k]), k);
            u[t][k] = neuron.charge(v.lane[k], current);
            v.lane[k] = neuron.reset(u[t][k], neuron.fires(u[t][k]));
        }
    }
    Lanes grad_v = same_in_all(0.0f), total = same_in_all(0.0f);
#pragma unroll UNROLLED_STEPS
    for (int t = T_STEPS - 1; t >= 0; --t) {
        const Pack grad_t = load(grad, base + t * stride_t);
        Lanes gradient;
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            const float grad_out = to_float(grad_t.lane[k]);
            gradient.lane[k] = neuron.propagate(u[t][k], grad_out, grad_v.lane[k]);
            total.lane[k] += gradient.lane[k];
        }
        if (!HELD) take(t, inputs[t], gradient);
    }
    if (HELD) take(0, inputs[0], total);
}
