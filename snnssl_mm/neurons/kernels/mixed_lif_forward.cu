// Forward pass of MixedLIF: reads x once, writes the output once, keeps the membrane
// in registers. Memory traffic per neuron and step: 8 bytes in float32, 4 in bfloat16.
#include "mixed_lif.cuh"

// x, out    one dense tensor each, in the same memory order
// neurons   elements per time step, a multiple of NEURONS_PER_THREAD
// stride_t  distance of a neuron's time steps in memory
// stride_n, samples   distance and number of samples; only path DUAL looks at them
extern "C" __global__ void mixed_lif_forward(
    const scalar_t* __restrict__ x, scalar_t* __restrict__ out, long long neurons,
    long long stride_t, long long stride_n, long long samples, float tau, float theta,
    float rest, float width) {
    const Neuron neuron(tau, theta, rest, width);
    const index_t packs = neurons / NEURONS_PER_THREAD;
    const index_t threads = (index_t)gridDim.x * blockDim.x;
    for (index_t i = (index_t)blockIdx.x * blockDim.x + threadIdx.x; i < packs;
         i += threads) {
        const index_t base = first_step(i * NEURONS_PER_THREAD, (index_t)stride_t);
        bool analog = PATH == ANALOG;
        if (PATH == DUAL) {  // the neurons of a pack belong to one sample
            const index_t sample = base / (index_t)stride_n % (index_t)samples;
            analog = sample >= (index_t)samples / 2;
        }
        Pack steps[T_STEPS];  // all loads under way before the first is needed
#pragma unroll UNROLLED_STEPS
        for (int t = 0; t < T_STEPS; ++t) steps[t] = load(x, base + t * (index_t)stride_t);
        float v[NEURONS_PER_THREAD];
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) v[k] = rest;
#pragma unroll UNROLLED_STEPS
        for (int t = 0; t < T_STEPS; ++t) {
            Pack out_t;
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
                const float u = neuron.charge(v[k], to_float(steps[t].lane[k]));
                out_t.lane[k] = from_float(neuron.output(u, analog));
                v[k] = neuron.reset(u);
            }
            store(out, base + t * (index_t)stride_t, out_t);
        }
    }
}
