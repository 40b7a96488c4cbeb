// Threads that stay for many short jobs.
//
// A step has a dozen of them, of a fraction of a millisecond each, and starting a thread for each (core/parallel.hpp)
// costs a twentieth of the step. Here a thread spins for some microseconds before it sleeps. No BLAS may run meanwhile
// with threads of its own: they would want the same cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/matrix.hpp"
#include "core/parallel.hpp"

namespace pyphenom {

class Team {
  public:
    // A smaller team where the system gives fewer threads.
    explicit Team(int threads) {
        const Elsewhere elsewhere;
        threads_.reserve(static_cast<std::size_t>(std::max(1, threads) - 1));
        try {
            for (int i = 1; i < threads; ++i) {
                threads_.emplace_back([this, i] { serve(i); });
                elsewhere.send(threads_.back());
            }
        } catch (const std::system_error&) {
        }
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;
    ~Team() {
        if (threads_.empty()) return;
        call_ = nullptr;
        start();
        for (std::thread& thread : threads_) thread.join();
    }

    Index size() const { return static_cast<Index>(threads_.size()) + 1; }

    // Calls f(worker) for every worker in [0, workers), workers <= size(), and waits for all. f must not throw.
    template <class F>
    void run(Index workers, const F& f) {
        if (workers <= 1) return f(Index{0});
        call_ = [](const void* job, Index worker) { (*static_cast<const F*>(job))(worker); };
        job_ = &f;
        workers_ = workers;
        start();
        f(Index{0});
        for (int spins = 0; pending_.load(std::memory_order_acquire) != 0; ++spins) pause(spins);
    }

    // Calls f(task) for every task in [0, tasks), each by whoever is free next, and waits for all. f must not throw.
    template <class F>
    void share(Index tasks, const F& f) {
        std::atomic<Index> next{0};
        run(std::min(size(), tasks), [&](Index) {
            for (Index task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) f(task);
        });
    }

  private:
    static constexpr int patience = 4000;  // pauses, of some tens of nanoseconds each

    static void pause(int spins) {
#if defined(__x86_64__) && defined(__GNUC__)
        if (spins < patience) return __builtin_ia32_pause();
#endif
        std::this_thread::yield();
    }

    void start() {
        pending_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            round_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
    }

    void serve(int worker) {
        for (unsigned seen = 0;; ++seen) {
            for (int spins = 0; round_.load(std::memory_order_acquire) == seen && spins < patience; ++spins)
                pause(spins);
            if (round_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return round_.load(std::memory_order_relaxed) != seen; });
            }
            if (!call_) return;
            if (worker < workers_) call_(job_, worker);
            pending_.fetch_sub(1, std::memory_order_release);
        }
    }

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<unsigned> round_{0};
    std::atomic<int> pending_{0};
    void (*call_)(const void*, Index) = nullptr;
    const void* job_ = nullptr;
    Index workers_ = 0;
};

}  // namespace pyphenom
