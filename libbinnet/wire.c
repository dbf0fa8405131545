/* Reading: little-endian bytes, CRC-32, and the header that both file formats begin with
 * (FORMAT.md).
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

int32_t binnet_get_signed(const uint8_t *p) {
    const uint32_t v = binnet_get32(p);
    return v < 0x80000000u ? (int32_t)v : -(int32_t)(~v) - 1;
}

static uint64_t get64(const uint8_t *p) {
    return binnet_get32(p) | (uint64_t)binnet_get32(p + 4) << 32;
}

int binnet_all_zero(const uint8_t *p, const uint8_t *end) {
    while (p < end)
        if (*p++) return 0;
    return 1;
}

binnet_status binnet_check_file(const uint8_t *bytes, size_t n_bytes, const char *magic) {
    if (n_bytes < 8 || memcmp(bytes, magic, 8) != 0) return BINNET_ERR_KIND;
    if (n_bytes < BINNET_FILE_HEADER + 4) return BINNET_ERR_TRUNCATED;
    if (binnet_get32(bytes + 8) != BINNET_FORMAT_VERSION) return BINNET_ERR_VERSION;
    if (get64(bytes + 16) != n_bytes) return BINNET_ERR_TRUNCATED;
    if (binnet_get32(bytes + n_bytes - 4) != binnet_crc32(bytes, n_bytes - 4))
        return BINNET_ERR_CHECKSUM;
    return BINNET_OK;
}
