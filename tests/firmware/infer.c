/* Deployed models in flash: every score and class must be the host's.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "digits.h"
#include "platform.h"
#include "report.h"

#include <string.h>

/* A model, and the scores of the test rows that the host computed. */
typedef struct exported {
    const char *name;
    const uint8_t *model;
    size_t n_bytes;
    const int32_t (*scores)[N_CLASSES];
} exported;

#include "exported.h" /* the table `exports` of these */

static uint64_t scratch[ARENA_BYTES / 8];

static uint16_t first_largest(const int32_t *scores) {
    uint16_t best = 0;
    for (uint16_t k = 1; k < N_CLASSES; ++k)
        if (scores[k] > scores[best]) best = k;
    return best;
}

/* The rows that differ from the host's, of one model. */
static uint32_t differing(const exported *e) {
    binnet_model model;
    uint32_t n_differing = 0, n_errors = 0;
    if (failed(binnet_model_open(&model, e->model, e->n_bytes, NULL), e->name)) return N_TEST;
    for (uint32_t i = 0; i < N_TEST; ++i) {
        int32_t scores[N_CLASSES];
        uint16_t class;
        if (failed(
                binnet_model_predict(&model, x_test[i], 1, scores, &class, scratch, sizeof scratch),
                e->name))
            return N_TEST;
        n_differing += class != first_largest(e->scores[i]) ||
                       memcmp(scores, e->scores[i], sizeof scores) != 0;
        n_errors += class != labels_test[i];
    }
    say(e->name);
    say_number(" ", n_errors, " errors");
    if (n_differing) say_number(", ", n_differing, " ROWS DIFFER FROM THE HOST'S");
    say("; ");
    return n_differing;
}

int main(void) {
    uint32_t n_differing = 0;
    for (size_t i = 0; i < sizeof exports / sizeof *exports; ++i)
        n_differing += differing(&exports[i]);
    say_number("of ", N_TEST, " rows");
    say_stack();
    return n_differing != 0;
}
