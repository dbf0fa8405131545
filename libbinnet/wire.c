/* Little-endian bytes, CRC-32, and the header that both file formats begin with (FORMAT.md).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

uint32_t binnet_crc32(const uint8_t *bytes, size_t n_bytes) {
    /* Half-byte table: 64 bytes of flash, and twice as fast as bit by bit. */
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n_bytes; ++i) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

int16_t binnet_get16(const uint8_t *p) {
    const int32_t v = p[0] | p[1] << 8;
    return (int16_t)(v < 0x8000 ? v : v - 0x10000);
}

uint32_t binnet_get32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t binnet_get64(const uint8_t *p) {
    return binnet_get32(p) | (uint64_t)binnet_get32(p + 4) << 32;
}

uint8_t *binnet_put16(uint8_t *p, int16_t v) {
    p[0] = (uint8_t)((uint16_t)v & 255u);
    p[1] = (uint8_t)((uint16_t)v >> 8);
    return p + 2;
}

uint8_t *binnet_put32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; ++i, v >>= 8) p[i] = (uint8_t)(v & 255u);
    return p + 4;
}

uint8_t *binnet_put64(uint8_t *p, uint64_t v) {
    return binnet_put32(binnet_put32(p, (uint32_t)(v & 0xffffffffu)), (uint32_t)(v >> 32));
}

int binnet_all_zero(const uint8_t *p, const uint8_t *end) {
    while (p < end)
        if (*p++) return 0;
    return 1;
}

enum { FORMAT_VERSION = 1 };

uint8_t *binnet_put_header(uint8_t *p, const char *magic, uint32_t method, uint64_t n_bytes) {
    memcpy(p, magic, 8);
    p = binnet_put32(p + 8, FORMAT_VERSION);
    p = binnet_put32(p, method);
    return binnet_put64(p, n_bytes);
}

binnet_status binnet_check_file(const uint8_t *bytes, size_t n_bytes, const char *magic) {
    if (n_bytes < 8 || memcmp(bytes, magic, 8) != 0) return BINNET_ERR_KIND;
    if (n_bytes < BINNET_FILE_HEADER + 4) return BINNET_ERR_TRUNCATED;
    if (binnet_get32(bytes + 8) != FORMAT_VERSION) return BINNET_ERR_VERSION;
    if (binnet_get64(bytes + 16) != n_bytes) return BINNET_ERR_TRUNCATED;
    if (binnet_get32(bytes + n_bytes - 4) != binnet_crc32(bytes, n_bytes - 4))
        return BINNET_ERR_CHECKSUM;
    return BINNET_OK;
}

/* Each choice is a bit, but for dropout. */
enum { DROPOUT_SHIFT = 8, INPUT_DROPOUT_SHIFT = 16 };

uint32_t binnet_put_method(const binnet_method *m) {
    return m->weights | m->binarization << 1 | m->activation << 2 | m->solver << 3 |
           m->gradient << 4 | m->dropout << DROPOUT_SHIFT | m->input_dropout << INPUT_DROPOUT_SHIFT;
}

int binnet_get_method(binnet_method *method, uint32_t word) {
    const binnet_method m = {word & 1u,
                             word >> 1 & 1u,
                             word >> 2 & 1u,
                             word >> 3 & 1u,
                             word >> 4 & 1u,
                             word >> DROPOUT_SHIFT & 255u,
                             word >> INPUT_DROPOUT_SHIFT & 255u};
    *method = m;
    return binnet_put_method(&m) == word;
}
