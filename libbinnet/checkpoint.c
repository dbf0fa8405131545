/* The training state as portable bytes (FORMAT.md).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static const char magic[] = "BINNETCK";

/* All that is done with a checkpoint goes through its values from the first to the last. */
typedef enum purpose { MEASURE, WRITE, CHECK, READ } purpose;

typedef struct cursor {
    purpose purpose;
    binnet_status status; /* of CHECK */
    uint8_t *bytes;
    size_t at;
} cursor;

static uint8_t *take(cursor *c, size_t n_bytes) {
    uint8_t *p = c->bytes ? c->bytes + c->at : NULL;
    c->at += n_bytes;
    return p;
}

static void corrupt_if(cursor *c, int wrong) {
    if (wrong && c->status == BINNET_OK) c->status = BINNET_ERR_CORRUPT;
}

/* What is configured: n bytes, padded with zeros to a multiple of four. */
static void configured(cursor *c, const uint8_t *values, size_t n) {
    const size_t padded = (n + 3) & ~(size_t)3;
    uint8_t *p = take(c, padded);
    for (size_t i = 0; i < padded; ++i) {
        const uint8_t v = i < n ? values[i] : 0;
        if (c->purpose == WRITE) p[i] = v;
        if (c->purpose != CHECK || p[i] == v) continue;
        if (i < n) c->status = BINNET_ERR_MISMATCH;
        corrupt_if(c, i >= n);
    }
}

static void configured_word(cursor *c, uint32_t value) {
    uint8_t bytes[4];
    binnet_put32(bytes, value);
    configured(c, bytes, sizeof bytes);
}

/* What is learned: a number that is at most `most` when 1 is added, as a uint32, */
static void learned_word(cursor *c, int32_t *value, uint32_t most) {
    uint8_t *p = take(c, 4);
    if (c->purpose == WRITE) binnet_put32(p, (uint32_t)*value);
    if (c->purpose == CHECK) corrupt_if(c, binnet_get32(p) + 1 > most);
    if (c->purpose == READ) *value = binnet_get_signed(p);
}

/* and n values within ±limit. NULL: they are 0. */
static void learned(cursor *c, int16_t *values, size_t n, int32_t limit) {
    uint8_t *p = take(c, 2 * n);
    for (size_t i = 0; p && i < n; ++i, p += 2) {
        if (c->purpose == WRITE) binnet_put16(p, values ? values[i] : 0);
        if (c->purpose == CHECK) corrupt_if(c, binnet_abs(binnet_get16(p)) > limit);
        if (c->purpose == READ && values) values[i] = binnet_get16(p);
    }
}

static void layer_values(cursor *c, binnet_layer_state *layer) {
    const size_t units = layer->units, n = units * layer->fan_in;
    learned(c, layer->bias, units, 24576);
    learned(c, layer->latent, n, 32767);
    if (layer->momentum) {
        learned(c, layer->bias_momentum, units, 32767);
        learned(c, layer->momentum, n, 32767);
        learned(c, layer->bias_log_scale, units, 32768);
        learned(c, layer->log_scale, n, 32768);
    }
    learned(c, NULL, c->at % 4 / 2, 0);
}

/* Returns the bytes up to the checksum. */
static size_t walk(binnet_net *net, cursor *c) {
    /* Exponents are -1, or up to 29 but for AdaMax. */
    const uint32_t most = net->method.solver == BINNET_ADAMAX ? 0 : 30;
    int32_t step = (int32_t)net->step;
    c->at = BINNET_FILE_HEADER;
    configured_word(c, (uint32_t)(net->seed & 0xffffffffu));
    configured_word(c, (uint32_t)(net->seed >> 32));
    learned_word(c, &step, UINT32_MAX);
    configured_word(c, net->batch_size);
    configured_word(c, net->n_features);
    configured_word(c, net->shape);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        binnet_layer_state *layer = &net->layers[i];
        configured_word(c, layer->kind);
        configured_word(c, layer->units);
        learned_word(c, &layer->weight_exponent, most);
        learned_word(c, &layer->bias_exponent, most);
    }
    configured(c, net->targets, binnet_output_layer(net)->units);
    for (uint32_t i = 0; i < net->n_layers; ++i) layer_values(c, &net->layers[i]);
    if (c->purpose == READ) net->step = (uint32_t)step;
    return c->at;
}

size_t binnet_checkpoint_size(const binnet_net *net) {
    cursor c = {MEASURE, BINNET_OK, NULL, 0};
    return walk((binnet_net *)(uintptr_t)net, &c) + 4; /* only READ changes it */
}

binnet_status binnet_checkpoint_write(const binnet_net *net, void *bytes, size_t n_bytes) {
    if (!net || !bytes) return BINNET_ERR_ARGUMENT;
    const size_t size = binnet_checkpoint_size(net);
    if (n_bytes < size) return BINNET_ERR_BUFFER_SIZE;
    cursor c = {WRITE, BINNET_OK, bytes, 0};
    binnet_put_header(bytes, magic, binnet_put_method(&net->method), size);
    walk((binnet_net *)(uintptr_t)net, &c);
    binnet_put32(c.bytes + size - 4, binnet_crc32(bytes, size - 4));
    return BINNET_OK;
}

binnet_status binnet_checkpoint_read(binnet_net *net, const void *bytes, size_t n_bytes) {
    if (!net || !bytes) return BINNET_ERR_ARGUMENT;
    cursor c = {CHECK, binnet_check_file(bytes, n_bytes, magic), (uint8_t *)(uintptr_t)bytes, 0};
    if (c.status != BINNET_OK) return c.status;
    if (n_bytes < binnet_checkpoint_size(net) ||
        binnet_get32(c.bytes + 12) != binnet_put_method(&net->method))
        return BINNET_ERR_MISMATCH;
    corrupt_if(&c, n_bytes & 3); /* what is longer has an appendix */
    walk(net, &c);
    if (c.status != BINNET_OK) return c.status;
    c.purpose = READ;
    walk(net, &c);
    net->n_calibrations = 0;
    for (uint32_t i = 0; i < net->n_layers; ++i) binnet_pack_latent(&net->layers[i]);
    return BINNET_OK;
}
