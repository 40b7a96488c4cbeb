// How a job is shared out; for the sources of Network alone.
#pragma once

#include <algorithm>

#include "core/parallel.hpp"
#include "curvature/network.hpp"

namespace pyphenom::curvature {

// Calls f(worker, samples) block by block, the workers side by side. f must not throw.
template <class T>
template <class F>
void Network<T>::team(const Plan& plan, Index sets, const F& f) {
    if (static_cast<Index>(workers_.size()) < plan.workers) workers_.resize(static_cast<std::size_t>(plan.workers));
    for (Index i = 0; i < plan.workers; ++i)
        reserve(workers_[i], plan.sets, plan.samples);  // may throw: not in a thread
    parallel_for(plan.workers, 1, static_cast<int>(plan.workers), [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
            Worker& w = workers_[i];
            w.loss = 0.0;
            w.add = false;
            std::fill_n(w.sums.data(), sets * sum_count_, 0.0);
            const Index last = samples_ * (i + 1) / plan.workers;
            for (Index first = samples_ * i / plan.workers; first < last; first += plan.samples) {
                f(w, Samples{first, std::min(plan.samples, last - first)});
                w.add = true;
            }
        }
    });
}

}  // namespace pyphenom::curvature
