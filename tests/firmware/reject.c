/* Bad input: each must give its status, and leave everything as it was.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "digits.h"
#include "net.h"
#include "platform.h"
#include "report.h"

#include <string.h>

enum {
    STRIDE = 61, /* of the damages to a checkpoint: one to every byte takes long */
    SLACK = 8,
    MOST_TOLD = 5,
    BYTES = (MODEL_BYTES > CHECKPOINT_BYTES ? MODEL_BYTES : CHECKPOINT_BYTES) + SLACK
};

static uint64_t arena[ARENA_BYTES / 8];
static uint8_t bytes[BYTES]; /* a damaged or displaced file */
static uint32_t n_cases, n_wrong;

/* Counts a case; tells the first few that are wrong. */
static void expect(int right, const char *what) {
    ++n_cases;
    if (right || ++n_wrong > MOST_TOLD) return;
    say("WRONG: ");
    say(what);
    say("\n");
}

static void expect_status(binnet_status wanted, binnet_status status, const char *what) {
    expect(status == wanted, what);
}

static binnet_status truncated(size_t n) { return n < 8 ? BINNET_ERR_KIND : BINNET_ERR_TRUNCATED; }

/* ---- Models --------------------------------------------------------------------------------- */

/* Opens n bytes, which must be refused and leave the model as it was. */
static binnet_status refused_model(const uint8_t *file, size_t n) {
    binnet_model opened, before;
    memset(&opened, 0x5a, sizeof opened);
    memset(&before, 0x5a, sizeof before);
    const binnet_status status = binnet_model_open(&opened, file, n, NULL);
    expect(memcmp(&opened, &before, sizeof opened) == 0, "what a refused model leaves");
    return status;
}

static void damaged_models(void) {
    for (size_t n = 0; n < sizeof model; ++n)
        expect_status(truncated(n), refused_model(model, n), "a truncated model");
    memcpy(bytes, model, sizeof model);
    expect_status(BINNET_ERR_TRUNCATED, refused_model(bytes, sizeof model + 1), "a longer model");
    for (size_t i = 0; i < sizeof model; ++i) {
        bytes[i] ^= 0x10;
        expect(refused_model(bytes, sizeof model) != BINNET_OK, "a damaged model");
        bytes[i] ^= 0x10;
    }
    ++bytes[8];
    expect_status(BINNET_ERR_VERSION, refused_model(bytes, sizeof model), "a newer model");
    expect_status(BINNET_ERR_KIND, refused_model(checkpoint, sizeof checkpoint),
                  "a checkpoint as a model");
}

/* Scores of a row by a model that must open. */
static void predict(const uint8_t *file, int32_t *scores) {
    binnet_model opened;
    binnet_status status = binnet_model_open(&opened, file, sizeof model, NULL);
    if (status == BINNET_OK)
        status = binnet_model_predict(&opened, x_test[0], 1, scores, NULL, arena, sizeof arena);
    expect_status(BINNET_OK, status, "prediction");
}

/* Models at every alignment predict the same. */
static void displaced_models(void) {
    int32_t wanted[N_CLASSES], scores[N_CLASSES];
    predict(model, wanted);
    for (size_t offset = 0; offset < SLACK; ++offset) {
        memcpy(bytes + offset, model, sizeof model);
        predict(bytes + offset, scores);
        expect(memcmp(scores, wanted, sizeof scores) == 0, "scores of a displaced model");
    }
}

static void bad_scratch(void) {
    int32_t scores[N_CLASSES], before[N_CLASSES];
    binnet_model opened;
    memset(scores, 0x5a, sizeof scores);
    memcpy(before, scores, sizeof scores);
    if (failed(binnet_model_open(&opened, model, sizeof model, NULL), "open")) return;
    const size_t needed = binnet_model_scratch_size(&opened, 1);
    expect_status(BINNET_ERR_BUFFER_SIZE,
                  binnet_model_predict(&opened, x_test[0], 1, scores, NULL, arena, needed - 1),
                  "scratch one byte short");
    expect_status(
        BINNET_ERR_ALIGNMENT,
        binnet_model_predict(&opened, x_test[0], 1, scores, NULL, (uint8_t *)arena + 1, needed),
        "unaligned scratch");
    expect(memcmp(scores, before, sizeof scores) == 0, "scores after refusals");
}

/* ---- Nets ----------------------------------------------------------------------------------- */

static void bad_arenas(size_t needed) {
    binnet_net *net = NULL;
    memset(arena, 0x5a, sizeof arena);
    expect_status(BINNET_ERR_BUFFER_SIZE, binnet_net_init(&net, arena, needed - 1, &config),
                  "arena one byte short");
    expect_status(BINNET_ERR_ALIGNMENT,
                  binnet_net_init(&net, (uint8_t *)arena + 1, needed, &config), "unaligned arena");
    int same = net == NULL;
    for (size_t i = 0; i < sizeof arena; ++i) same &= ((const uint8_t *)arena)[i] == 0x5a;
    expect(same, "what a refused arena leaves");
}

static void bad_label(binnet_net *net) {
    const uint16_t labels[] = {0, N_CLASSES};
    expect_status(BINNET_ERR_LABEL, binnet_net_train_step(net, x_train[0], labels, 2, 4, NULL),
                  "a label too large");
}

static void damaged_checkpoints(binnet_net *net) {
    for (size_t n = 0; n < sizeof checkpoint; n += STRIDE)
        expect_status(truncated(n), binnet_checkpoint_read(net, checkpoint, n),
                      "a truncated checkpoint");
    memcpy(bytes, checkpoint, sizeof checkpoint);
    for (size_t i = 0; i < sizeof checkpoint; i += STRIDE) {
        bytes[i] ^= 0x10;
        expect(binnet_checkpoint_read(net, bytes, sizeof checkpoint) != BINNET_OK,
               "a damaged checkpoint");
        bytes[i] ^= 0x10;
    }
    ++bytes[8];
    expect_status(BINNET_ERR_VERSION, binnet_checkpoint_read(net, bytes, sizeof checkpoint),
                  "a newer checkpoint");
    expect_status(BINNET_ERR_KIND, binnet_checkpoint_read(net, model, sizeof model),
                  "a model as a checkpoint");
}

/* Whether the net is still where the checkpoint in flash was written. */
static int unchanged(const binnet_net *net) {
    memset(bytes, 0, sizeof bytes);
    return binnet_checkpoint_write(net, bytes, sizeof checkpoint) == BINNET_OK &&
           memcmp(bytes, checkpoint, sizeof checkpoint) == 0;
}

int main(void) {
    binnet_net *net;
    size_t needed;
    damaged_models();
    displaced_models();
    bad_scratch();
    if (failed(binnet_net_size(&config, &needed), "size")) return 1;
    bad_arenas(needed);

    if (failed(binnet_net_init(&net, arena, needed, &config), "init")) return 1;
    memcpy(bytes + 1, checkpoint, sizeof checkpoint);
    expect_status(BINNET_OK, binnet_checkpoint_read(net, bytes + 1, sizeof checkpoint),
                  "an unaligned checkpoint");
    damaged_checkpoints(net);
    bad_label(net);
    expect_status(BINNET_ERR_BUFFER_SIZE,
                  binnet_checkpoint_write(net, bytes, sizeof checkpoint - 1), "a small buffer");
    expect(unchanged(net), "the net after refusals");

    binnet_config other = config;
    ++other.seed;
    if (failed(binnet_net_init(&net, arena, needed, &other), "init")) return 1;
    expect_status(BINNET_ERR_MISMATCH, binnet_checkpoint_read(net, checkpoint, sizeof checkpoint),
                  "a checkpoint of another net");

    say_number("", n_cases, " cases");
    say_stack();
    return n_wrong != 0;
}
