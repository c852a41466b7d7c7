// Backward pass of MixedLIF: recomputes the membranes u[t] from x, forward in time,
// then applies Neuron::propagate from the last time step to the first. Reading saved
// membranes would cost more: memory traffic per neuron and step is 12 bytes in float32,
// 6 in bfloat16. Both paths share it, see Neuron::propagate.
#include "mixed_lif.cuh"

// grad, x, grad_x   one dense tensor each, in the same memory order
// neurons, stride_t   as in mixed_lif_forward.cu
extern "C" __global__ void mixed_lif_backward(
    const scalar_t* __restrict__ grad, const scalar_t* __restrict__ x,
    scalar_t* __restrict__ grad_x, long long neurons, long long stride_t, float tau,
    float theta, float rest, float width) {
    const Neuron neuron(tau, theta, rest, width);
    const index_t packs = neurons / NEURONS_PER_THREAD;
    const index_t threads = (index_t)gridDim.x * blockDim.x;
    for (index_t i = (index_t)blockIdx.x * blockDim.x + threadIdx.x; i < packs;
         i += threads) {
        const index_t base = first_step(i * NEURONS_PER_THREAD, (index_t)stride_t);
        float u[T_STEPS][NEURONS_PER_THREAD];  // registers, as long as T is small
        float v[NEURONS_PER_THREAD];
        float grad_v[NEURONS_PER_THREAD];
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            v[k] = rest;
            grad_v[k] = 0.0f;
        }
#pragma unroll UNROLLED_STEPS
        for (int t = 0; t < T_STEPS; ++t) {
            const Pack x_t = load(x, base + t * (index_t)stride_t);
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
                u[t][k] = neuron.charge(v[k], to_float(x_t.lane[k]));
                v[k] = neuron.reset(u[t][k]);
            }
        }
#pragma unroll UNROLLED_STEPS
        for (int t = T_STEPS - 1; t >= 0; --t) {
            const index_t offset = base + t * (index_t)stride_t;
            const Pack grad_t = load(grad, offset);
            Pack grad_x_t;
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
                const float grad_out = to_float(grad_t.lane[k]);
                const float result = neuron.propagate(u[t][k], grad_out, grad_v[k]);
                grad_x_t.lane[k] = from_float(result);
            }
            store(grad_x, offset, grad_x_t);
        }
    }
}
