/* Mutations that get past a file's header: most are given the length that the header now asks for,
 * or that and an appendix, and their length and the right checksum in the fields for them.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static uint32_t crc32(const uint8_t *bytes, size_t n_bytes) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n_bytes; ++i) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    return ~crc;
}

static void put(uint8_t *p, uint64_t v, int n_bytes) {
    for (int i = 0; i < n_bytes; ++i, v >>= 8) p[i] = (uint8_t)v;
}

/* The file with the length that its header asks for, and with an appendix: cut off, or continued
 * with zeros. */
static size_t fit(uint8_t *data, size_t size, size_t max_size, size_t appendix) {
    uint8_t header[FUZZ_HEADER] = {0};
    memcpy(header, data, size < sizeof header ? size : sizeof header);
    const size_t bare = fuzz_file_size(header), wanted = bare + appendix;
    if (bare == 0 || wanted > max_size) return size;
    if (wanted > size) memset(data + size, 0, wanted - size);
    return wanted;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    enum { FIELDS_END = FUZZ_N_BYTES + 8, CRC = 4 };
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 16 != 0) size = fit(data, size, max_size, seed % 4 == 2 ? seed / 4 % 9 * 4 : 0);
    if (seed % 8 == 1 || size < FIELDS_END + CRC) return size;
    put(data + FUZZ_N_BYTES, size, 8);
    put(data + size - CRC, crc32(data, size - CRC), CRC);
    return size;
}
