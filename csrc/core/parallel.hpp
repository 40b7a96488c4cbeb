// A loop over threads that exist only while it runs.
//
// No OpenMP: its teams spin after a loop, and on the cores where they spin a threaded BLAS wants to work (the width
// path took three times as long). A team that is joined costs some ten microseconds, leaves nothing behind, and
// survives a fork of the process.
#pragma once

#include <algorithm>
#include <thread>
#include <vector>

#include "core/matrix.hpp"

namespace pyphenom {

// Calls f(first, last) on contiguous shares of [0, count), on at most `threads` threads, each with at least `grain`
// items. f must not throw.
template <class F>
void parallel_for(Index count, Index grain, int threads, const F& f) {
    const Index shares = std::clamp<Index>(count / std::max<Index>(1, grain), 1, std::max(1, threads));
    std::vector<std::thread> team;
    team.reserve(static_cast<std::size_t>(shares - 1));
    for (Index i = 1; i < shares; ++i) team.emplace_back(f, count * i / shares, count * (i + 1) / shares);
    f(Index{0}, count / shares);
    for (std::thread& thread : team) thread.join();
}

}  // namespace pyphenom
