/* The deployed network of a calibrated net, as a file (FORMAT.md). model.c opens it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

typedef binnet_view view;

static void start(const binnet_net *net, view *v) {
    const binnet_method kept = {.weights = net->method.weights,
                                .activation = net->method.activation};
    binnet_view_start(v, net->n_features, net->shape, binnet_put_method(&kept));
}

size_t binnet_model_size(const binnet_net *net) {
    view v;
    start(net, &v);
    for (uint32_t i = 0; i < net->n_layers; ++i)
        binnet_view_next(&v, net->layers[i].kind, net->layers[i].units);
    return v.end + 4; /* no more than the net: it fits a size_t */
}

/* Statistics of the calibration. */
static binnet_unit measured(const binnet_net *net, const binnet_layer_state *layer, uint32_t m) {
    const uint32_t s16 = (uint32_t)binnet_divide(layer->spread_sum[m], net->n_calibrations);
    binnet_unit u;
    u.mean = (int32_t)binnet_divide(layer->mean_sum[m], net->n_calibrations);
    u.bias = layer->bias[m];
    u.scale = binnet_two_power(layer->target ? layer->target[m] : 32u, s16);
    return u;
}

static int is_positive(const binnet_unit *u, int32_t z) {
    int32_t v = binnet_scaled(z - u->mean, u->scale.term);
    if (u->scale.shift < 0) v = binnet_clamp(v, -127, 127);
    v = binnet_clamp(binnet_shift(v, u->scale.shift), -127, 127);
    return v + binnet_bias(u->bias) >= 0;
}

/* The first sum, of those that there can be, whose sign is +1; else one more than all. */
static int32_t threshold(const binnet_unit *u, uint32_t fan_in) {
    const int32_t most = (int32_t)fan_in * 255;
    int32_t low = -most, high = most + 1;
    while (low < high) {
        const int32_t middle = binnet_floor_shift(low + high, 1);
        if (is_positive(u, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void write_records(const binnet_net *net, const view *v, uint8_t *p) {
    const binnet_layer_state *layer = &net->layers[v->index];
    for (uint32_t m = 0; m < v->shape.units; ++m) {
        const binnet_unit u = measured(net, layer, m);
        if (v->to_signs) {
            p = binnet_put32(p, (uint32_t)threshold(&u, v->shape.fan_in));
            continue;
        }
        p = binnet_put32(p, (uint32_t)u.mean);
        p = binnet_put16(p, u.bias);
        *p++ = (uint8_t)u.scale.shift;
        *p++ = (uint8_t)u.scale.term;
    }
}

binnet_status binnet_model_write(const binnet_net *net, void *bytes, size_t n_bytes) {
    if (!net || !bytes) return BINNET_ERR_ARGUMENT;
    if (net->n_calibrations == 0) return BINNET_ERR_STATE;
    const size_t size = binnet_model_size(net);
    if (n_bytes < size) return BINNET_ERR_BUFFER_SIZE;
    uint8_t *const first = bytes;
    view v;
    start(net, &v);
    uint8_t *p = binnet_put_header(first, BINNET_MODEL_MAGIC, v.ternary | v.signs, size);
    p = binnet_put32(p, net->n_features);
    p = binnet_put32(p, net->shape);
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        p = binnet_put32(p, net->layers[i].kind);
        p = binnet_put32(p, net->layers[i].units);
    }
    memset(p, 0, size - (size_t)(p - first));
    for (uint32_t i = 0; i < net->n_layers; ++i) {
        const binnet_layer_state *layer = &net->layers[i];
        binnet_view_next(&v, layer->kind, layer->units);
        write_records(net, &v, first + v.records);
        for (uint32_t m = 0; m < v.shape.units; ++m) {
            const size_t row = m * layer->bits_stride;
            memcpy(first + v.low + m * v.row_bytes, layer->low + row, v.row_bytes);
            if (layer->high)
                memcpy(first + v.high + m * v.row_bytes, layer->high + row, v.row_bytes);
        }
    }
    binnet_put32(first + v.end, binnet_crc32(first, size - 4));
    return BINNET_OK;
}
