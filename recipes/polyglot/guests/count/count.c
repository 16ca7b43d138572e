/* Counts words. A core module without a library: wadoo makes it a component by `wit` and `world` of the recipe. */

#include <stddef.h>
#include <stdint.h>

/* Where the caller puts the text, which is read once. It lasts for one call, so each begins at the start. */
static _Alignas(16) uint8_t text[64 << 10];

/* The canonical ABI asks for memory by this name. `old` is never anything but nothing: only one piece is asked for. */
__attribute__((export_name("cabi_realloc"))) void *allocate(void *old, size_t old_size, size_t align, size_t size) {
    (void)old, (void)old_size, (void)align;
    if (size > sizeof text) {
        __builtin_trap();
    }
    return text;
}

static int is_space(uint8_t byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

__attribute__((export_name("wadoo:polyglot/count@1.0.0#words"))) uint32_t words(const uint8_t *bytes, size_t length) {
    uint32_t count = 0;
    int within = 0;
    for (size_t i = 0; i < length; i++) {
        int space = is_space(bytes[i]);
        count += !space && !within;
        within = !space;
    }
    return count;
}
