/* Ticks of predicting some rows, one at a time; the opening of the model is not among them.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"
#include "report.h"
#include "rows.h"

static uint64_t scratch[ARENA_BYTES / 8];

int main(void) {
    binnet_model opened;
    uint16_t classes[N_COUNTED];
    uint32_t errors = 0;
    if (failed(binnet_model_open(&opened, model, sizeof model, NULL), "open")) return 1;
    clock_start();
    for (uint32_t i = 0; i < N_COUNTED; ++i)
        if (binnet_model_predict(&opened, x[i], 1, NULL, &classes[i], scratch, sizeof scratch))
            return 1;
    const uint32_t ticks = clock_ticks();
    for (uint32_t i = 0; i < N_COUNTED; ++i) errors += classes[i] != labels[i];
    say_number("", ticks, " ");
    say_number("", errors, "\n");
    return 0;
}
