/* The fully connected layer: its three products.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static void forward(binnet_pass *p) {
    const binnet_gemm gemm = binnet_product_forward(p);
    if (gemm.values)
        binnet_gemm_run(&gemm);
    else
        binnet_xnor_run(&gemm);
}

/* The error at the layer's input. */
static void multiply_backward(binnet_pass *p) {
    const binnet_layer_state *layer = p->layer;
    binnet_gemm gemm = binnet_product(p);
    gemm.values = (const uint8_t *)layer->normed;
    gemm.stride = layer->units;
    gemm.int8 = 1;
    gemm.signs = 1;
    gemm.selector = (binnet_selector){layer->low, layer->bits_stride, 0};
    gemm.high = layer->high;
    gemm.n_columns = layer->fan_in;
    gemm.depth = layer->units;
    gemm.epilogue = binnet_store_errors;
    binnet_gemm_run(&gemm);
}

/* The weights' gradient, errors times the input, and the update. */
static void multiply_outer(binnet_pass *p) {
    binnet_net *net = p->net;
    binnet_layer_state *layer = p->layer;
    const binnet_input *input = &p->input;
    binnet_gemm gemm = binnet_product(p);
    if (binnet_transposes(net->kernels)) {
        gemm.values = (const uint8_t *)net->transposed;
        gemm.stride = p->n_rows;
    } else { /* columns of the error */
        gemm.values = (const uint8_t *)layer->normed;
        gemm.stride = 1;
        gemm.step = layer->units;
    }
    gemm.int8 = 1;
    gemm.n_rows = layer->units;
    gemm.n_columns = layer->fan_in;
    gemm.depth = p->n_rows;
    gemm.epilogue = binnet_update_rows;
    if (input->data) {
        gemm.selector = (binnet_selector){net->input_bits, p->input_bits_stride, 0};
        if (net->method.gradient == BINNET_EXACT) gemm.n_digits = input->n_digits;
        gemm.digit_bytes = p->n_rows * p->input_bits_stride;
    } else {
        gemm.signs = 1;
        gemm.selector = (binnet_selector){input->signs.low, input->signs.stride, 0};
        gemm.high = input->signs.high;
    }
    binnet_gemm_run(&gemm);
}

static void backward(binnet_pass *p) {
    if (p->layer->index > 0) multiply_backward(p); /* by the weights of the forward pass */
    multiply_outer(p);
}

const binnet_layer_type binnet_layer_dense = {forward, backward};
