// SPDX-License-Identifier: MIT
//
// What a type says of itself to a pool: whether its objects mean the same in every process, and
// the name and version by which those who open the pool know it.  Part of fastalloc.hpp.
#ifndef FASTALLOC_TRAITS_HPP
#define FASTALLOC_TRAITS_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace fastalloc {
namespace detail {

constexpr std::size_t name_most = 63; // bytes a pool keeps of a type's name

struct name_text {
    char bytes[name_most + 1] = {};
};

// The compiler's spelling of T stands in here between "T = " and the last "]".
template <class T> constexpr const char *spelling() noexcept
{
    return __PRETTY_FUNCTION__;
}

constexpr bool is_tail_byte(char byte) noexcept
{
    return (static_cast<unsigned char>(byte) & 0xc0u) == 0x80u;
}

// Cuts what is too long, between characters, and puts a hash of the whole in its place.
constexpr name_text shortened(const char *text, std::size_t length) noexcept
{
    constexpr std::size_t digits = 16;
    constexpr char hexadecimal[] = "0123456789abcdef";
    name_text name;
    std::size_t kept = length, i = 0;

    if (length > name_most)
        for (kept = name_most - 1 - digits; kept > 0 && is_tail_byte(text[kept]);)
            kept--;
    for (i = 0; i < kept; i++)
        name.bytes[i] = text[i];
    if (length > name_most) {
        std::uint64_t hash = 0xcbf29ce484222325u; // FNV-1a

        for (i = 0; i < length; i++)
            hash = (hash ^ static_cast<unsigned char>(text[i])) * 0x100000001b3u;
        name.bytes[kept] = '#';
        for (i = 0; i < digits; i++)
            name.bytes[kept + 1 + i] = hexadecimal[hash >> (60 - 4 * i) & 15];
    }
    return name;
}

template <class T> constexpr name_text spelt() noexcept
{
    constexpr std::size_t room = 4096;
    const char *from = spelling<T>();
    char text[room] = {};
    std::size_t end = 0, length = 0;

    while (!(from[0] == 'T' && from[1] == ' ' && from[2] == '=' && from[3] == ' '))
        from++;
    from += 4;
    while (from[end])
        end++;
    // gcc writes "> >" where clang writes ">>".
    for (std::size_t i = 0; i + 1 < end && length < room; i++)
        if (!(from[i] == ' ' && i > 0 && from[i - 1] == '>' && from[i + 1] == '>'))
            text[length++] = from[i];
    return shortened(text, length);
}

// Numbers by what they are: what the compilers and machines call them differs.
template <class T> constexpr name_text number() noexcept
{
    const char *kind = std::is_floating_point_v<T> ? "float" : std::is_signed_v<T> ? "int" : "uint";
    std::size_t bits = sizeof(T) * 8, length = 0;
    char text[16] = {};

    while (kind[length]) {
        text[length] = kind[length];
        length++;
    }
    if (bits >= 100)
        text[length++] = static_cast<char>('0' + bits / 100);
    if (bits >= 10)
        text[length++] = static_cast<char>('0' + bits / 10 % 10);
    text[length++] = static_cast<char>('0' + bits % 10);
    return shortened(text, length);
}

template <class T> constexpr name_text name_of() noexcept
{
    if constexpr (std::is_same_v<T, bool>)
        return shortened("bool", 4);
    else if constexpr (std::is_arithmetic_v<T>)
        return number<T>();
    else
        return spelt<T>();
}

template <class T> inline constexpr name_text name = name_of<T>();

} // namespace detail

// What traits<T> has unless a program specialises it.
template <class T> struct default_traits {
    // Whether the bytes of a T mean the same in another process.  They cannot where there is a
    // vtable, a pointer, or a destructor that gives something back.  The compiler sees pointers
    // only where T itself is one, not among its members.
    static constexpr bool portable =
        std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> && !std::is_member_pointer_v<T>;

    // Up to 63 bytes.  Compared when a pool is opened.  gcc and clang differ in how they spell
    // templates' arguments and anonymous namespaces, and C's FASTALLOC_DEFINE_POOL() takes its
    // argument as it stands, such as "struct order".
    static constexpr const char *name = detail::name<T>.bytes;

    // Of the layout, to count up when it changes.  Compared when a pool is opened; 0: not.
    static constexpr std::uint32_t version = 0;
};

// To be specialised for a program's own types:
//
//     template <> struct fastalloc::traits<order> : fastalloc::default_traits<order> {
//         static constexpr const char *name = "struct order";
//         static constexpr std::uint32_t version = 2;
//     };
template <class T> struct traits : default_traits<T> {
};

namespace detail {

// Refuses, when compiling, a T that no pool can hold.
template <class T> constexpr void check_type() noexcept
{
    static_assert(std::is_object_v<T> && !std::is_array_v<T>,
                  "fastalloc: a pool holds objects of one type: no references, functions, arrays "
                  "(put an array into a struct)");
    static_assert(std::is_same_v<T, std::remove_cv_t<T>>,
                  "fastalloc: a pool's type is neither const nor volatile");
    if constexpr (std::is_polymorphic_v<T>)
        static_assert(traits<T>::portable,
                      "fastalloc: this type has a vtable, which lies elsewhere in every process.  "
                      "If no other process will touch the objects, say so: specialise "
                      "fastalloc::traits<T> with portable = true");
    else
        static_assert(traits<T>::portable,
                      "fastalloc: objects of this type mean nothing in another process: it is a "
                      "pointer or not trivially copyable.  If no other process will touch them, "
                      "or you know better, say so: specialise fastalloc::traits<T> with "
                      "portable = true");
    static_assert(alignof(T) <= 4096, "fastalloc: alignments end at a page of 4096 bytes");
}

} // namespace detail
} // namespace fastalloc

#endif // FASTALLOC_TRAITS_HPP
