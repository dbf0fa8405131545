/* A pad of 8 x 8 force sensors on which one draws digits, and a Cortex-M0 that reads them: by a
 * network that Python trained; then, when the pad is turned, by one that the device trains itself.
 *
 * Here is all that concerns libbinnet, and nothing about the hardware, which is board.c's.
 * README.md says what to copy, and what it takes.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "board.h"
#include "digits.h" /* by pybinnet.export_c: model, sizes, digits_selftest ...; includes binnet.h */
#include "rows.h"   /* by make_model.py: N_TRAIN, N_TEST, and the rows, which board.c hands out */

/* Most calls return a status. Here none can fail but for a mistake or damaged flash, so stop. */
static void must(binnet_status status) {
    if (status == BINNET_OK) return;
    say(binnet_status_text(status));
    say("\n");
    stop(1);
}

/* ---- Inference ------------------------------------------------------------------------------ */

/* Wanted during a prediction only: may share memory with whatever is idle then. */
static uint64_t scratch[(DIGITS_SCRATCH_BYTES + 7) / 8]; /* of uint64_t for the sake of alignment */

static uint16_t classify(const binnet_model *model, const uint8_t *inputs) {
    uint16_t class_index;
    must(digits_predict(model, inputs, NULL, &class_index, scratch, sizeof scratch));
    return class_index;
}

/* Reads the pad, and blinks as often as the digit says. */
static void blink(const binnet_model *model) {
    uint8_t inputs[DIGITS_N_INPUTS];
    (void)reading(N_TRAIN, inputs);
    say("blinks: ");
    for (int32_t n = digits_classes[classify(model, inputs)]; n > 0; --n) {
        led(1);
        led(0);
    }
    say("\n");
}

/* Counts what is right of the rows that no network has learned. */
static void test(const char *what, const binnet_model *model) {
    uint8_t inputs[DIGITS_N_INPUTS];
    uint32_t n_right = 0;
    for (uint32_t i = N_TRAIN; i < N_TRAIN + N_TEST; ++i) {
        const uint16_t truth = reading(i, inputs);
        n_right += classify(model, inputs) == truth;
    }
    say(what);
    say_number(": ", n_right, " right");
    say_number(" of ", N_TEST, "\n");
}

/* ---- Learning on the device: compile with -DLEARN=1, or leave it out ------------------------ */

#if LEARN
enum {
    HIDDEN = 32,             /* units, as in make_model.py */
    BATCH = 16,              /* rows of a step; fewer take less memory */
    STEPS = N_TRAIN / BATCH, /* of an epoch, in which each row has its turn */
    EPOCHS = 10,
    FIRST_RATE = 4, /* learning rates fall from 2^-4 to 2^-10, as BinaryConnectClassifier's do */
    LAST_RATE = 10
};

/* The library allocates nothing: the net, while it learns, lives in here. */
static uint64_t arena[BINNET_NET_SIZE(BATCH, DIGITS_N_FEATURES, HIDDEN, DIGITS_N_CLASSES) / 8];
/* Of the same layers as the exported one, so the same scratch and digits_predict do. */
static uint8_t learned[BINNET_MODEL_SIZE(DIGITS_N_FEATURES, HIDDEN, DIGITS_N_CLASSES)];
static uint32_t order[N_TRAIN]; /* of the rows in this epoch */
static struct {
    uint8_t x[BATCH][DIGITS_N_FEATURES];
    uint16_t labels[BATCH];
} batch;

/* Fetches batch number i of the epoch. */
static void fetch(uint32_t i) {
    for (uint32_t k = 0; k < BATCH; ++k)
        batch.labels[k] = reading(order[i * BATCH + k], batch.x[k]);
}

static void learn(binnet_model *model) {
    const binnet_layer layers[] = {{.kind = BINNET_DENSE, .units = HIDDEN},
                                   {.kind = BINNET_DENSE, .units = DIGITS_N_CLASSES}};
    const binnet_config config = {.seed = 1, /* the same seed learns the same bits, on a PC too */
                                  .n_features = DIGITS_N_FEATURES,
                                  .n_layers = sizeof layers / sizeof *layers,
                                  .batch_size = BATCH,
                                  .layers = layers,
                                  .kernels = binnet_kernels_find("portable")};
    binnet_net *net;
    uint64_t loss, sum = 0;
    must(binnet_net_init(&net, arena, sizeof arena, &config));

    /* The net counts its steps: if a checkpoint is read here, the loop goes on where that was. */
    const uint32_t first = binnet_net_step(net);
    for (uint32_t step = first; step < EPOCHS * STEPS; ++step) {
        const uint32_t i = step % STEPS, epoch = step / STEPS;
        const uint32_t rate = binnet_rate_exponent(FIRST_RATE, LAST_RATE, step, EPOCHS * STEPS);
        if (i == 0 || step == first) must(binnet_row_order(config.seed, epoch, N_TRAIN, order));
        fetch(i);
        must(binnet_net_train_step(net, batch.x[0], batch.labels, BATCH, rate, &loss));
        sum += loss;
        if (i < STEPS - 1) continue;
        say_number("epoch ", epoch + 1, "");
        say_number(", loss ", (uint32_t)(sum / N_TRAIN), "\n"); /* 1024 is a margin squared */
        sum = 0;
    }

    /* A model has statistics of its final weights, over rows in an order that no epoch has. */
    must(binnet_row_order(config.seed, UINT32_MAX, N_TRAIN, order));
    for (uint32_t i = 0; i < STEPS; ++i) {
        fetch(i);
        must(binnet_net_calibrate(net, batch.x[0], BATCH));
    }
    must(binnet_model_write(net, learned, sizeof learned)); /* copy it to flash to keep it */
    must(binnet_model_open(model, learned, sizeof learned, config.kernels));
}
#endif

/* --------------------------------------------------------------------------------------------- */

int main(void) {
    binnet_model model;

    /* Predicts some rows: if the scores are Python's to the bit, compiler and flash are fine. */
    must(digits_selftest(scratch, sizeof scratch));
    say("self-test: ok\n");

    must(digits_open(&model));
    test("trained in Python", &model);
    blink(&model);
    turn_the_pad();
    test("... with the pad turned", &model);
#if LEARN
    learn(&model);
    test("trained on the device", &model);
    blink(&model);
#endif
    return 0;
}
