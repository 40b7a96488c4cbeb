// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (SC 2011): a pure function
// (counter, key) -> four 32-bit words, so that draw i never depends on threads, blocks or order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace pyphenom {

using Words = std::array<std::uint32_t, 4>;

inline Words philox(Words counter, std::uint64_t seed) {
    std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
        const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
        counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(p1),
                   static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(p0)};
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return counter;
}

// Centre of the word's cell in (0, 1): never 0, so its logarithm is finite.
inline double uniform(std::uint32_t word) { return (word + 0.5) * 0x1p-32; }

// The words of the counters (first, stream, index), (first + 1, stream, index), ...: four a counter.
void draw_words(std::uint64_t seed, std::uint32_t first, std::uint32_t stream, std::uint64_t index,
                std::ptrdiff_t count, std::uint32_t* words);

// Standard normals by Box and Muller: the words u, v of a pair give r cos t and r sin t with r = sqrt(-2 log u) and
// t = 2 pi v.
void to_normals(const std::uint32_t* words, std::ptrdiff_t pairs, double* normals);

}  // namespace pyphenom
