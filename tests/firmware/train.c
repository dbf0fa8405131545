/* Trains on the machine, from new weights or from a checkpoint in flash, with the epochs of
 * BinaryConnectClassifier.fit (pybinnet/_training.py). Saves the checkpoint and the model.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "digits.h"
#include "net.h"
#include "platform.h"
#include "report.h"

#include <string.h>

static uint64_t arena[ARENA_BYTES / 8];

/* One after the other, for the sake of 16 KB of memory. */
static union {
    struct {
        uint32_t order[N_ROWS];
        uint8_t x[BATCH_SIZE][N_FEATURES];
        uint16_t labels[BATCH_SIZE];
    } batch;
    uint8_t checkpoint[CHECKPOINT_BYTES];
    uint8_t model[MODEL_BYTES];
} work;

/* Copies rows [begin, end) of the order; returns how many. */
static uint32_t take(uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; ++i) {
        const uint32_t row = work.batch.order[i];
        memcpy(work.batch.x[i - begin], x_train[row], N_FEATURES);
        work.batch.labels[i - begin] = labels_train[row];
    }
    return end - begin;
}

static int train(binnet_net *net) {
    for (uint32_t epoch = FIRST_EPOCH; epoch < N_EPOCHS; ++epoch) {
        if (failed(binnet_row_order(config.seed, epoch, N_ROWS, work.batch.order), "row order"))
            return 1;
        for (uint32_t i = 0; i < N_STEPS; ++i) {
            const uint32_t n = take(i * N_ROWS / N_STEPS, (i + 1) * N_ROWS / N_STEPS);
            const uint32_t rate = binnet_rate_exponent(FIRST_RATE, LAST_RATE, epoch * N_STEPS + i,
                                                       N_EPOCHS * N_STEPS);
            if (failed(
                    binnet_net_train_step(net, work.batch.x[0], work.batch.labels, n, rate, NULL),
                    "step"))
                return 1;
        }
    }
    return 0;
}

static int save_checkpoint(const binnet_net *net) {
    if (failed(binnet_checkpoint_write(net, work.checkpoint, sizeof work.checkpoint), "checkpoint"))
        return 1;
    return !save("checkpoint", work.checkpoint, binnet_checkpoint_size(net));
}

static int save_model(binnet_net *net) {
    if (failed(binnet_row_order(config.seed, UINT32_MAX, N_ROWS, work.batch.order), "row order"))
        return 1;
    for (uint32_t i = 0; i + BATCH_SIZE <= N_ROWS; i += BATCH_SIZE) {
        const uint32_t n = take(i, i + BATCH_SIZE);
        if (failed(binnet_net_calibrate(net, work.batch.x[0], n), "calibrate")) return 1;
    }
    if (failed(binnet_model_write(net, work.model, sizeof work.model), "model")) return 1;
    return !save("model", work.model, sizeof work.model);
}

/* Nothing is left to learn, so the arena is free for predicting. */
static int test(size_t *n_errors) {
    binnet_model model;
    return failed(binnet_model_open(&model, work.model, sizeof work.model, NULL), "open") ||
           failed(binnet_model_evaluate(&model, x_test[0], labels_test, N_TEST, n_errors, arena,
                                        sizeof arena),
                  "evaluate");
}

int main(void) {
    binnet_net *net;
    size_t n_bytes, n_errors;
    if (failed(binnet_net_size(&config, &n_bytes), "size")) return 1;
    say_number("arena ", (uint32_t)n_bytes, "; ");
    if (failed(binnet_net_init(&net, arena, sizeof arena, &config), "init")) return 1;
#if FIRST_EPOCH > 0
    if (failed(binnet_checkpoint_read(net, checkpoint, sizeof checkpoint), "read")) return 1;
#endif
    if (train(net) || save_checkpoint(net) || save_model(net) || test(&n_errors)) return 1;
    say_number("", (uint32_t)n_errors, " errors");
    say_number(" of ", N_TEST, " rows");
    say_stack();
    return 0;
}
