/* Writes what fuzzing begins with: small models of all kinds, their nets' checkpoints, and their
 * configurations.
 * Usage: seeds FOLDER, which has the folders model, checkpoint and config.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "small_net.h"

static void write_file(const char *folder, const char *kind, uint32_t number, const uint8_t *bytes,
                       size_t n_bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/seed-%02u", folder, kind, (unsigned)number);
    FILE *file = fopen(path, "wb");
    REQUIRE(file && fwrite(bytes, 1, n_bytes, file) == n_bytes && fclose(file) == 0);
}

/* A configuration as fuzz_config.c takes it from bytes, a byte a number; its length. If wide, of as
 * many features and hidden units as there may be. */
static size_t put_config(uint32_t number, int wide, uint8_t *bytes) {
    enum { AT_65536 = 246 }; /* less the next byte */
    const binnet_method *m = &small_nets[number].method;
    const uint32_t n_layers = small_nets[number].n_layers;
    uint8_t *p = bytes;
    *p++ = (uint8_t)number, *p++ = 0;
    *p++ = SMALL_HEIGHT, *p++ = SMALL_WIDTH;
    *p++ = !wide;
    if (wide) *p++ = AT_65536, *p++ = 0;
    *p++ = SMALL_BATCH;
    const uint32_t method[] = {m->weights,  m->binarization, m->activation,    m->solver,
                               m->gradient, m->dropout,      m->input_dropout, m->decay};
    for (size_t i = 0; i < sizeof method / sizeof *method; ++i) *p++ = (uint8_t)method[i];
    *p++ = (uint8_t)n_layers;
    for (uint32_t i = 0; i < n_layers; ++i) {
        const binnet_layer *layer = &small_nets[number].layers[i];
        *p++ = (uint8_t)(layer->kind - 1);
        if (wide && i + 1 < n_layers)
            *p++ = AT_65536, *p++ = 1;
        else
            *p++ = (uint8_t)(layer->units - 1);
        *p++ = (uint8_t)layer->kernel_size, *p++ = (uint8_t)layer->stride;
        *p++ = (uint8_t)layer->padding, *p++ = (uint8_t)layer->pool;
    }
    return (size_t)(p - bytes);
}

int main(int argc, char **argv) {
    static uint8_t bytes[1 << 16];
    REQUIRE(argc == 2);
    for (uint32_t number = 0; number < SMALL_NETS; ++number) {
        void *arena;
        binnet_net *net = small_net(number, NULL, &arena);
        for (uint32_t step = 0; step < 5; ++step) small_step(net);
        REQUIRE(binnet_checkpoint_write(net, bytes, sizeof bytes) == BINNET_OK);
        write_file(argv[1], "checkpoint", number, bytes, binnet_checkpoint_size(net));
        write_file(argv[1], "model", number, bytes, small_model(net, bytes, sizeof bytes));
        for (int wide = 0; wide < 2; ++wide)
            write_file(argv[1], "config", number + (wide ? SMALL_NETS : 0), bytes,
                       put_config(number, wide, bytes));
        free(arena);
    }
    return 0;
}
