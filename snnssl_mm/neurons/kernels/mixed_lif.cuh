// The neuron: charge, fire, reset and their derivatives, in the order of reference.py.
//
// Macros of its layer, besides those of memory.cuh:
//   SURROGATE           RECTANGLE, TRIANGLE, ATAN or SIGMOID; of the integer neuron
//                       INTEGER, or FRACTION where the output is divided by D
//   SOFT_RESET, DECAY_INPUT                  0 or 1; the backward also DETACH_RESET
//   PATH                SPIKE, ANALOG or DUAL; the forward only
//   EXACT_INVERSES      1 if tau and width are powers of two; if integer, theta and D
//
// The integer neuron of integer_reference.py has D as its width. With the clamped ratio
// a = clamp(u / theta, 0, D) and its integer n, rounded half to even:
//
//   u[t] = (1 - 1 / tau) v[t-1] + x[t],    v[t] = u[t] - theta n[t]
//   o[t] = n[t] or a[t],    do/du = dn/du = 1[0 < u / theta < D] / theta
//
// and o and do/du are divided by D in FRACTION.
//
// Compile with --fmad=false. A fused multiply-add rounds once where the reference
// rounds twice; that moves a membrane across the threshold and flips a spike.
#pragma once
#include "memory.cuh"

#define RECTANGLE 0
#define TRIANGLE 1
#define ATAN 2
#define SIGMOID 3
#define INTEGER 4
#define FRACTION 5
#define IS_INTEGER (SURROGATE >= INTEGER)
#define SPIKE 0
#define ANALOG 1
#define DUAL 2

struct Neuron {
    float tau, inverse_tau, theta, inverse_theta, rest, width, inverse_width;

    __device__ Neuron(float tau, float theta, float rest, float width)
        : tau(tau), inverse_tau(1.0f / tau), theta(theta), inverse_theta(1.0f / theta),
          rest(rest), width(width), inverse_width(1.0f / width) {}

    // Multiplying with the inverse of a power of two equals the division bit for bit,
    // at a tenth of its instructions.
    __device__ float over_tau(float a) const {
        return EXACT_INVERSES ? a * inverse_tau : a / tau;
    }

    __device__ float over_width(float a) const {
        return EXACT_INVERSES ? a * inverse_width : a / width;
    }

    __device__ float over_theta(float a) const {
        return EXACT_INVERSES ? a * inverse_theta : a / theta;
    }

    __device__ float charge(float v, float x) const {
        if (IS_INTEGER) return (1.0f - inverse_tau) * v + x;
        if (DECAY_INPUT) return v + over_tau(x - (v - rest));
        return v - over_tau(v - rest) + x;
    }

    __device__ bool fires(float u) const { return u - theta >= 0.0f; }

    // clamp(u / theta, 0, D) of the integer neuron; NaN passes.
    __device__ float clamped(float u) const {
        const float ratio = over_theta(u);
        return ratio < 0.0f ? 0.0f : ratio > width ? width : ratio;
    }

    __device__ float output(float u, bool analog) const {
        if (IS_INTEGER) {
            const float count = analog ? clamped(u) : rintf(clamped(u));
            return SURROGATE == FRACTION ? over_width(count) : count;
        }
        const float spike = fires(u) ? 1.0f : 0.0f;
        return analog ? antiderivative(u) : spike;
    }

    __device__ float reset(float u) const {
        if (IS_INTEGER) return u - theta * rintf(clamped(u));
        if (SOFT_RESET) return fires(u) ? u - theta : u;
        return fires(u) ? rest : u;
    }

    // One step back in time, by the chain rule. With o[t] the output (s[t] or
    // g(u[t] - theta)), h = h(u[t] - theta), and G(.) the gradient of the loss:
    //
    //   G(u[t])   = G(o[t]) h + G(v[t]) dv[t]/du[t]
    //   G(x[t])   = G(u[t]) du[t]/dx[t],     du/dx = 1, or 1 / tau with DECAY_INPUT
    //   G(v[t-1]) = G(u[t]) (1 - 1 / tau)
    //
    //   dv[t]/du[t] = 1 - s[t] - (DETACH_RESET ? 0 : h (u[t] - rest))    hard reset
    //               = 1        - (DETACH_RESET ? 0 : h theta)            soft reset
    //
    // An integer neuron has a soft reset, and where 0 < u / theta < D no gradient flows
    // through it unless DETACH_RESET: what is subtracted grows as fast as u.
    //
    // grad_out is G(o[t]); grad_v is G(v[t]) and becomes G(v[t-1]); returns G(x[t]).
    // Both paths share it: their membranes are the same, and do/du = ds/du = h.
    __device__ float propagate(float u, float grad_out, float& grad_v) const {
        const float h = derivative(u);
        float through_reset = SOFT_RESET || !fires(u) ? 1.0f : 0.0f;
        if (IS_INTEGER)
            through_reset = !DETACH_RESET && counts(u) ? 0.0f : 1.0f;
        else if (!DETACH_RESET)
            through_reset -= h * (SOFT_RESET ? theta : u - rest);
        const float grad_u = grad_out * h + grad_v * through_reset;
        grad_v = grad_u * (1.0f - inverse_tau);
        return DECAY_INPUT ? grad_u * inverse_tau : grad_u;
    }

    // Whether an integer neuron is between its smallest and its largest output.
    __device__ bool counts(float u) const {
        const float ratio = over_theta(u);
        return ratio > 0.0f && ratio < width;
    }

    // h(u - theta) of surrogate.py. Comparisons are written so that NaN passes through.
    __device__ float derivative(float u) const {
        if (IS_INTEGER) {
            const float slope =
                SURROGATE == FRACTION ? inverse_theta * inverse_width : inverse_theta;
            return counts(u) ? slope : 0.0f;
        }
        const float d = u - theta;
        if (SURROGATE == RECTANGLE)
            return fabsf(d) < 0.5f * width ? inverse_width : 0.0f;
        if (SURROGATE == TRIANGLE) {
            const float side = 1.0f - over_width(fabsf(d));
            return over_width(side < 0.0f ? 0.0f : side);
        }
        if (SURROGATE == ATAN) {
            const float scaled = 1.57079633f * width * d;
            return 0.5f * width / (1.0f + scaled * scaled);
        }
        const float g = 1.0f / (1.0f + expf(-width * d));
        return width * g * (1.0f - g);
    }

    // g(u - theta), the antiderivative of h.
    __device__ float antiderivative(float u) const {
        const float d = u - theta;
        if (SURROGATE == RECTANGLE) {
            const float ramp = over_width(d) + 0.5f;
            return ramp < 0.0f ? 0.0f : ramp > 1.0f ? 1.0f : ramp;
        }
        if (SURROGATE == TRIANGLE) {
            const float side = 1.0f - over_width(fabsf(d));
            const float tail = side < 0.0f ? 0.0f : 0.5f * side * side;
            return d < 0.0f ? tail : 1.0f - tail;
        }
        if (SURROGATE == ATAN)
            return 0.318309886f * atanf(1.57079633f * width * d) + 0.5f;
        return 1.0f / (1.0f + expf(-width * d));
    }
};
