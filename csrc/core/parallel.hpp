// A loop over threads that exist only while it runs.
//
// No OpenMP: its teams spin after a loop, and on the cores where they spin a threaded BLAS wants to work (the width
// path took three times as long). A team that is joined costs some ten microseconds, leaves nothing behind, and
// survives a fork of the process.
#pragma once

#include <algorithm>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

#include "core/matrix.hpp"

namespace pyphenom {

// Keeps threads off the core of the one that starts them. Linux may start them there though another core is idle, and
// would part them only milliseconds later, when a short loop is over.
class Elsewhere {
  public:
#ifdef __linux__
    Elsewhere() {
        const int here = sched_getcpu();
        if (here < 0 || sched_getaffinity(0, sizeof cores_, &cores_) != 0) return;
        CPU_CLR(here, &cores_);
        exists_ = CPU_COUNT(&cores_) > 0;
    }
    void send(std::thread& thread) const {
        if (exists_) pthread_setaffinity_np(thread.native_handle(), sizeof cores_, &cores_);
    }

  private:
    cpu_set_t cores_;
    bool exists_ = false;
#else
    void send(std::thread&) const {}
#endif
};

// Calls f(first, last) on contiguous shares of [0, count), on at most `threads` threads, each with at least `grain`
// items. f must not throw. Where the system gives fewer threads, this one takes the shares of the others.
template <class F>
void parallel_for(Index count, Index grain, int threads, const F& f) {
    const Index shares = std::clamp<Index>(count / std::max<Index>(1, grain), 1, std::max(1, threads));
    if (shares == 1) return f(Index{0}, count);
    const Elsewhere elsewhere;
    std::vector<std::thread> team;
    team.reserve(static_cast<std::size_t>(shares - 1));
    Index taken = 1;
    try {
        for (; taken < shares; ++taken) {
            team.emplace_back(f, count * taken / shares, count * (taken + 1) / shares);
            elsewhere.send(team.back());
        }
    } catch (const std::system_error&) {
        f(count * taken / shares, count);
    }
    f(Index{0}, count / shares);
    for (std::thread& thread : team) thread.join();
}

// Calls f(i) for every i of [0, count), on at most `threads` threads. f may throw: the exception of the first i that
// has one leaves when all threads are done.
template <class F>
void parallel_runs(Index count, int threads, const F& f) {
    std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(count));
    parallel_for(count, 1, threads, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
            try {
                f(i);
            } catch (...) {
                thrown[static_cast<std::size_t>(i)] = std::current_exception();
            }
        }
    });
    for (const std::exception_ptr& exception : thrown)
        if (exception) std::rethrow_exception(exception);
}

}  // namespace pyphenom
