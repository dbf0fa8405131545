/* Writes the files that fuzzing begins with: small models of all kinds, and checkpoints.
 * Usage: seeds FOLDER, which has the folders model and checkpoint.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "small_net.h"

static void write_file(const char *folder, const char *kind, uint32_t number, const uint8_t *bytes,
                       size_t n_bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/seed-%02u", folder, kind, (unsigned)number);
    FILE *file = fopen(path, "wb");
    REQUIRE(file && fwrite(bytes, 1, n_bytes, file) == n_bytes && fclose(file) == 0);
}

int main(int argc, char **argv) {
    static uint8_t bytes[1 << 16], x[SMALL_BATCH * SMALL_FEATURES];
    uint16_t labels[SMALL_BATCH];
    uint32_t number = 0;
    REQUIRE(argc == 2);
    small_rows(x, labels);
    for (uint32_t weights = 0; weights < 2; ++weights)
        for (uint32_t activation = 0; activation < 2; ++activation)
            for (uint32_t solver = 0; solver < 2; ++solver)
                for (uint32_t n_layers = 1 + activation; n_layers <= 3; ++n_layers, ++number) {
                    const binnet_method method = {
                        .weights = weights, .activation = activation, .solver = solver};
                    void *arena;
                    binnet_net *net = small_net(&method, n_layers, &arena);
                    for (uint32_t step = 0; step < 5; ++step) small_step(net);
                    REQUIRE(binnet_net_calibrate(net, x, SMALL_BATCH) == BINNET_OK);
                    REQUIRE(binnet_model_write(net, bytes, sizeof bytes) == BINNET_OK);
                    write_file(argv[1], "model", number, bytes, binnet_model_size(net));
                    REQUIRE(binnet_checkpoint_write(net, bytes, sizeof bytes) == BINNET_OK);
                    write_file(argv[1], "checkpoint", number, bytes, binnet_checkpoint_size(net));
                    free(arena);
                }
    return 0;
}
