// Loops over threads, also where the system refuses some: in a process of little address space, threads have no stack.
#include <atomic>
#include <cstdio>

#ifdef __linux__
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "core/parallel.hpp"
#include "core/team.hpp"

using namespace pyphenom;

namespace {

// Whether every item of a loop is done once, and every task of a team.
bool complete(int threads) {
    constexpr Index count = 1000;
    std::atomic<Index> sum{0};
    const auto add = [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) sum += i + 1;
    };
    parallel_for(count, 1, threads, add);
    if (sum != count * (count + 1) / 2) return false;
    Team team(threads);
    if (team.size() < 1 || team.size() > std::max(1, threads)) return false;
    for (int round = 0; round < 3; ++round) {
        sum = 0;
        team.share(count, [&](Index task) { add(task, task + 1); });
        if (sum != count * (count + 1) / 2) return false;
    }
    return true;
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
// The same in a child that has room for a few threads of 200. Its alarm ends it if it hangs.
bool complete_with_few() {
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        long pages = 0;
        if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
            if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
            std::fclose(file);
        }
        const rlim_t room = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + (rlim_t{64} << 20);
        const rlimit limit{room, room};
        if (pages == 0 || setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
        Team team(200);
        if (team.size() == 200) _exit(3);
        _exit(complete(200) ? 0 : 1);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
#else
bool complete_with_few() { return true; }
#endif

}  // namespace

int main() {
    bool right = complete_with_few();  // first: a fork takes no thread along
    if (!right) std::printf("FAILED: threads that the system refuses\n");
    for (const int threads : {0, 1, 2, 3, 7, 64})
        if (!complete(threads)) {
            std::printf("FAILED: %d threads\n", threads);
            right = false;
        }
    return right ? 0 : 1;
}
