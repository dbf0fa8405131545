/* Writing: little-endian bytes, and the header that both file formats begin with (FORMAT.md).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

uint8_t *binnet_put16(uint8_t *p, int16_t v) {
    p[0] = (uint8_t)((uint16_t)v & 255u);
    p[1] = (uint8_t)((uint16_t)v >> 8);
    return p + 2;
}

uint8_t *binnet_put32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; ++i, v >>= 8) p[i] = (uint8_t)(v & 255u);
    return p + 4;
}

static uint8_t *put64(uint8_t *p, uint64_t v) {
    return binnet_put32(binnet_put32(p, (uint32_t)(v & 0xffffffffu)), (uint32_t)(v >> 32));
}

uint8_t *binnet_put_header(uint8_t *p, const char *magic, uint32_t method, uint64_t n_bytes) {
    memcpy(p, magic, 8);
    p = binnet_put32(p + 8, BINNET_FORMAT_VERSION);
    p = binnet_put32(p, method);
    return put64(p, n_bytes);
}

uint32_t binnet_put_method(const binnet_method *m) {
    return (m->weights ? BINNET_METHOD_TERNARY : 0u) | m->binarization << 1 |
           (m->activation ? BINNET_METHOD_SIGN : 0u) | m->solver << 3 | m->gradient << 4 |
           m->dropout << 8 | m->input_dropout << 16 | m->decay << 24;
}
