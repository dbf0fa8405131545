/* The training state as portable bytes (FORMAT.md).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static const char magic[] = "BINNETCK";

enum { FIXED = 48, LAYER_RECORD = 16 };

static size_t pad4(size_t n) { return (n + 3) & ~(size_t)3; }

/* An array of a layer's state; its values are within ±limit. */
typedef struct array {
    int16_t *values;
    size_t n;
    int32_t limit;
} array;

enum { MOST_ARRAYS = 6 };

/* The arrays in the order of the file. Returns how many. */
static uint32_t arrays(const binnet_layer_state *layer, array out[MOST_ARRAYS]) {
    const size_t units = layer->units, n = units * layer->fan_in;
    const array all[MOST_ARRAYS] = {
        {layer->bias, units, 24576},           {layer->latent, n, 32767},
        {layer->bias_momentum, units, 32767},  {layer->momentum, n, 32767},
        {layer->bias_log_scale, units, 32768}, {layer->log_scale, n, 32768}};
    memcpy(out, all, sizeof all);
    return layer->momentum ? MOST_ARRAYS : 2;
}

static size_t layer_bytes(const binnet_layer_state *layer) {
    array a[MOST_ARRAYS];
    size_t n = 0;
    for (uint32_t k = arrays(layer, a); k-- > 0;) n += 2 * a[k].n;
    return pad4(n);
}

size_t binnet_checkpoint_size(const binnet_net *net) {
    size_t n = FIXED + net->n_layers * (size_t)LAYER_RECORD + pad4(binnet_output_layer(net)->units);
    for (uint32_t i = 0; i < net->n_layers; ++i) n += layer_bytes(&net->layers[i]);
    return n + 4;
}

binnet_status binnet_checkpoint_write(const binnet_net *net, void *bytes, size_t n_bytes) {
    if (!net || !bytes) return BINNET_ERR_ARGUMENT;
    const size_t size = binnet_checkpoint_size(net);
    if (n_bytes < size) return BINNET_ERR_BUFFER_SIZE;
    uint8_t *const start = bytes;
    uint8_t *p = binnet_put_header(start, magic, binnet_put_method(&net->method), size);
    p = binnet_put64(p, net->seed);
    p = binnet_put32(p, net->step);
    p = binnet_put32(p, net->batch_size);
    p = binnet_put32(p, net->n_features);
    p = binnet_put32(p, net->n_layers);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        p = binnet_put32(p, net->layers[i].kind);
        p = binnet_put32(p, net->layers[i].units);
        p = binnet_put32(p, (uint32_t)net->layers[i].weight_exponent);
        p = binnet_put32(p, (uint32_t)net->layers[i].bias_exponent);
    }
    const size_t n_classes = binnet_output_layer(net)->units;
    memset(p, 0, pad4(n_classes));
    memcpy(p, net->targets, n_classes);
    p += pad4(n_classes);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        const binnet_layer_state *layer = &net->layers[i];
        uint8_t *const end = p + layer_bytes(layer);
        array a[MOST_ARRAYS];
        const uint32_t n = arrays(layer, a);
        for (uint32_t k = 0; k < n; ++k)
            for (size_t v = 0; v < a[k].n; ++v) p = binnet_put16(p, a[k].values[v]);
        memset(p, 0, (size_t)(end - p));
        p = end;
    }
    binnet_put32(p, binnet_crc32(start, size - 4));
    return BINNET_OK;
}

/* Whether the checkpoint is of a net like this one. Compares what is configured, not what is
 * learned. */
static int matches(const binnet_net *net, const uint8_t *p) {
    if (binnet_get32(p + 12) != binnet_put_method(&net->method) ||
        binnet_get64(p + 24) != net->seed || binnet_get32(p + 36) != net->batch_size ||
        binnet_get32(p + 40) != net->n_features || binnet_get32(p + 44) != net->n_layers)
        return 0;
    p += FIXED;
    for (uint32_t i = 0; i < net->n_layers; ++i, p += LAYER_RECORD)
        if (binnet_get32(p) != net->layers[i].kind || binnet_get32(p + 4) != net->layers[i].units)
            return 0;
    return memcmp(p, net->targets, binnet_output_layer(net)->units) == 0;
}

static int within(const uint8_t *p, size_t n, int32_t limit) {
    for (size_t i = 0; i < n; ++i)
        if (binnet_abs(binnet_get16(p + 2 * i)) > limit) return 0;
    return 1;
}

/* Whether every value is allowed, in a file whose shape matches. */
static int sound(const binnet_net *net, const uint8_t *p) {
    const uint32_t most =
        net->method.solver == BINNET_ADAMAX ? 0 : 30; /* of exponents, and one more */
    p += FIXED;
    for (uint32_t i = 0; i < net->n_layers; ++i, p += LAYER_RECORD)
        if (binnet_get32(p + 8) + 1 > most || binnet_get32(p + 12) + 1 > most) return 0;
    const size_t n_classes = binnet_output_layer(net)->units;
    if (!binnet_all_zero(p + n_classes, p + pad4(n_classes))) return 0;
    p += pad4(n_classes);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        const binnet_layer_state *layer = &net->layers[i];
        const uint8_t *const end = p + layer_bytes(layer);
        array a[MOST_ARRAYS];
        const uint32_t n = arrays(layer, a);
        for (uint32_t k = 0; k < n; p += 2 * a[k].n, ++k)
            if (!within(p, a[k].n, a[k].limit)) return 0;
        if (!binnet_all_zero(p, end)) return 0;
        p = end;
    }
    return 1;
}

binnet_status binnet_checkpoint_read(binnet_net *net, const void *bytes, size_t n_bytes) {
    if (!net || !bytes) return BINNET_ERR_ARGUMENT;
    const uint8_t *p = bytes;
    const binnet_status status = binnet_check_file(p, n_bytes, magic);
    if (status != BINNET_OK) return status;
    if (n_bytes != binnet_checkpoint_size(net) || !matches(net, p)) return BINNET_ERR_MISMATCH;
    if (!sound(net, p)) return BINNET_ERR_CORRUPT;
    net->step = binnet_get32(p + 32);
    net->n_calibrations = 0;
    const uint8_t *record = p + FIXED;
    p = record + net->n_layers * (size_t)LAYER_RECORD + pad4(binnet_output_layer(net)->units);
    for (uint32_t i = 0; i < net->n_layers; ++i, record += LAYER_RECORD) {
        binnet_layer_state *layer = &net->layers[i];
        const uint8_t *const end = p + layer_bytes(layer);
        array a[MOST_ARRAYS];
        layer->weight_exponent = (int32_t)(binnet_get32(record + 8) + 1) - 1;
        layer->bias_exponent = (int32_t)(binnet_get32(record + 12) + 1) - 1;
        const uint32_t n = arrays(layer, a);
        for (uint32_t k = 0; k < n; ++k)
            for (size_t v = 0; v < a[k].n; ++v, p += 2) a[k].values[v] = binnet_get16(p);
        binnet_pack_latent(layer);
        p = end;
    }
    return BINNET_OK;
}
