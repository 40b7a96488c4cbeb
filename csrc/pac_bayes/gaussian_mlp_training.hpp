// One epoch of bound optimisation after another, and the draws of a certificate.
//
// The order of an epoch's examples is a function of (seed, epoch), the noise of a step one of (seed, step, example,
// layer). Everything that a run carries from one epoch to the next is in `Parameters` and `Progress`, so that stopping
// after an epoch and going on later gives the same bits.
#pragma once

#include <functional>
#include <vector>

#include "pac_bayes/gaussian_mlp.hpp"
#include "pac_bayes/gaussian_mlp_objective.hpp"

namespace pyphenom::pac_bayes {

struct Training {
    Objective objective;
    Method method = Method::adam;
    double rate = 1e-3, momentum = 0.9;
    double pmin = 1e-5;
    Index batch = 256;
    bool antithetic = false;
    std::uint64_t seed = 0;
    int threads = 1;
};

struct Progress {
    std::int64_t epoch = 0, step = 0;
    double lambda = 1.0;                 // of Thiemann's objective
    double log_variance = 0.0;           // of a prior with one scale
    double log_variance_moment = 0.0, log_variance_second = 0.0;
};

struct Epoch {
    double objective = 0.0, risk = 0.0, error = 0.0;  // means over the examples seen, as the parameters moved
    double kl = 0.0;                                  // at the end
    bool diverged = false;                            // a step whose objective was no number, and was not taken
};

// The examples of an epoch in their order.
void draw_order(std::uint64_t seed, std::int64_t epoch, std::vector<std::uint32_t>& order);

// Moves the parameters through one epoch. `check` is called after every step; what it throws ends the epoch.
template <class T>
Epoch train_epoch(const Architecture& architecture, const Examples<T>& data, const Training& training,
                  const Parameters<T>& parameters, Progress& progress, const std::function<void()>& check);

// The mean loss of the examples as one minibatch, and its gradients by mean and by log-scale.
template <class T>
Loss loss_gradient(const Architecture& architecture, const Examples<T>& data, const Training& training,
                   std::uint32_t step, const T* mean, const T* variance, T* by_mean, T* by_log_scale);

// For every repetition first, first + 1, ... its loss over all examples, each with a network of its own.
template <class T>
void draw_losses(const Architecture& architecture, const Examples<T>& data, const T* mean, const T* variance,
                 double pmin, std::uint64_t seed, std::uint32_t first, std::vector<Loss>& losses, int threads,
                 const std::function<void(Index)>& check);

// Z (classes x n) <- the outputs of one repetition, example by example.
template <class T>
void draw_outputs(const Architecture& architecture, Matrix<const T> X, const T* mean, const T* variance,
                  std::uint64_t seed, std::uint32_t repetition, Matrix<T> Z, int threads,
                  const std::function<void(Index)>& check);

}  // namespace pyphenom::pac_bayes
