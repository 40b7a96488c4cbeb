// PYPHENOM_CLONES before a function: one version an instruction set, chosen when the library is loaded. A wheel then
// runs on every processor of its architecture and uses the vector units of the one at hand.
#pragma once

// Sanitizers start after that choice is made, and clang has it only in recent versions.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define PYPHENOM_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PYPHENOM_CLONES
#endif

// Such a version reaches into the functions that it calls only where they are inlined.
#define PYPHENOM_INLINE [[gnu::always_inline]] inline
