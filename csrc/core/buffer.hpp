// Memory for the large matrices of a kernel: in huge pages where the system grants them on request, and not zeroed.
//
// A path touches some fifty megabytes a call. In pages of 4 KiB the kernel of the operating system spends a tenth of
// the time on handing them out, and the products miss the translation cache.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace pyphenom {

template <class T>
struct HugePages {
    using value_type = T;
    static constexpr std::size_t page = std::size_t{1} << 21, worth_a_page = page / 2;

    HugePages() = default;
    template <class U>
    HugePages(const HugePages<U>&) {}

    T* allocate(std::size_t count) {
        const std::size_t bytes = count * sizeof(T);
        if (bytes < worth_a_page) return static_cast<T*>(::operator new(bytes));
        const std::size_t pages = (bytes + page - 1) / page * page;
        void* memory = std::aligned_alloc(page, pages);
        if (!memory) throw std::bad_alloc();
#ifdef __linux__
        madvise(memory, pages, MADV_HUGEPAGE);  // a request: where it is refused, small pages do
#endif
        return static_cast<T*>(memory);
    }

    void deallocate(T* memory, std::size_t count) {
        if (count * sizeof(T) < worth_a_page)
            ::operator delete(memory);
        else
            std::free(memory);
    }

    // `resize` leaves new elements as they are; `assign` sets them.
    template <class U>
    void construct(U* element) noexcept {
        ::new (static_cast<void*>(element)) U;
    }
    template <class U, class... Args>
    void construct(U* element, Args&&... args) {
        ::new (static_cast<void*>(element)) U(std::forward<Args>(args)...);
    }

    template <class U>
    bool operator==(const HugePages<U>&) const {
        return true;
    }
    template <class U>
    bool operator!=(const HugePages<U>&) const {
        return false;
    }
};

using Buffer = std::vector<double, HugePages<double>>;

// The buffer's memory, of at least this size.
inline double* room(Buffer& buffer, std::size_t size) {
    buffer.resize(std::max(buffer.size(), size));
    return buffer.data();
}

}  // namespace pyphenom
