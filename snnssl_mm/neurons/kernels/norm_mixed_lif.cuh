// A batch norm in front of MixedLIF, fused into it: y = (x - mean) scale + bias per
// channel, scale = rstd weight, is the neuron's input current and stays in registers.
//
// Its macros, besides those of the other headers:
//   HELD     1 if x has one time step, which is the input of all T_STEPS
//   POOLED   1 if the output is max-pooled; only backward kernels look at it
#pragma once
#include "mixed_lif.cuh"
#include "windows.cuh"

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

// Outputs of a pack of neurons: hands those of each time step t to take(t, outputs).
template <class Take>
__device__ inline void fire(const scalar_t* __restrict__ x, index_t base,
                            index_t stride_t, const Neuron& neuron, const Norm& norm,
                            bool analog, const Take& take) {
    Pack inputs[X_STEPS];  // all loads under way before the first is needed
#pragma unroll UNROLLED_STEPS
    for (int t = 0; t < X_STEPS; ++t) inputs[t] = load(x, base + t * stride_t);
    Lanes v = same_in_all(neuron.rest);
#pragma unroll UNROLLED_STEPS
    for (int t = 0; t < T_STEPS; ++t) {
        const Pack x_t = inputs[HELD ? 0 : t];
        Lanes outputs;
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            const float current = norm.apply(to_float(x_t.lane[k]), k);
            const float u = neuron.charge(v.lane[k], current);
            outputs.lane[k] = neuron.output(u, analog);
            v.lane[k] = neuron.reset(u);
        }
        take(t, outputs);
    }
}

// Gradient of the output of a pack of neurons in every time step. If the output was
// max-pooled, it is that of the windows whose maximum it is: in even rows and columns a
// neuron lies in the middle of one window, in odd ones on the border of two. They are
// gathered, always in the same order, so that no two threads write to one place.
struct OutputGradient {
    const scalar_t* grad;
    const unsigned char* window;
    index_t first, stride, down, across;
    bool below, right;
    int place;

    // grad     [T][one time step], ``stride`` apart; if pooled of maps of half the sides
    // window   if pooled, places of the maxima, likewise
    // i        of the walk
    __device__ OutputGradient(const scalar_t* grad, const unsigned char* window,
                              const Walk& walk, index_t i, index_t stride,
                              index_t height, index_t width)
        : grad(grad), window(window), stride(stride) {
        if (!POOLED) {
            first = walk.neuron(i);
            return;
        }
        const Position at(walk, i, height, width);
        const index_t rows = (height + 1) / 2, columns = (width + 1) / 2;
        first = pack_at(walk, at.n, at.h / 2, at.w / 2, rows, columns);
        across = walk.columns * NEURONS_PER_THREAD;
        down = columns * across;
        below = at.h % 2 && at.h / 2 + 1 < rows;
        right = at.w % 2 && at.w / 2 + 1 < columns;
        place = 3 * (1 + at.h % 2) + 1 + at.w % 2;
    }

    __device__ Lanes at(int t) const {
        const index_t here = first + t * stride;
        Lanes sum;
        if (!POOLED) {
            const Pack gradient = load(grad, here);
#pragma unroll
            for (int k = 0; k < NEURONS_PER_THREAD; ++k)
                sum.lane[k] = to_float(gradient.lane[k]);
            return sum;
        }
        sum = same_in_all(0.0f);
        add(sum, here, true, place);
        add(sum, here + across, right, place - 2);
        add(sum, here + down, below, place - 6);
        add(sum, here + down + across, below && right, place - 8);
        return sum;
    }

    // Add the gradient of a window, if it is there, where the maximum is at ``place``.
    __device__ void add(Lanes& sum, index_t offset, bool there, int place) const {
        Pack gradient = {};
        Places maxima = {};
        if (there) gradient = load(grad, offset);
        if (there) maxima = *reinterpret_cast<const Places*>(window + offset);
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            const float value = to_float(gradient.lane[k]);
            sum.lane[k] += maxima.lane[k] == place ? value : 0.0f;
        }
    }
};

// Gradient G(y) of the normalised input of a pack, from that of the output: recomputes
// the membranes, applies Neuron::propagate from the last time step to the first, and
// hands each time step t of x to take(t, x_t, G(y[t])). A held x is the input of all
// time steps: take is called once, with sum_t G(y[t]).
template <class Take>
__device__ inline void backpropagate(
    const OutputGradient& of_output, const scalar_t* __restrict__ x, index_t base,
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
            v.lane[k] = neuron.reset(u[t][k]);
        }
    }
    Lanes grad_v = same_in_all(0.0f), total = same_in_all(0.0f);
#pragma unroll UNROLLED_STEPS
    for (int t = T_STEPS - 1; t >= 0; --t) {
        const Lanes grad_t = of_output.at(t);
        Lanes gradient;
#pragma unroll
        for (int k = 0; k < NEURONS_PER_THREAD; ++k) {
            gradient.lane[k] = neuron.propagate(u[t][k], grad_t.lane[k], grad_v.lane[k]);
            total.lane[k] += gradient.lane[k];
        }
        if (!HELD) take(t, inputs[t], gradient);
    }
    if (HELD) take(0, inputs[0], total);
}
