/* Ticks of the same by emlearn's code, from rows that are floats already.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"
#include "peer.h"
#include "report.h"
#include "rows.h"

int main(void) {
    int32_t classes[N_COUNTED];
    uint32_t errors = 0;
    clock_start();
    for (uint32_t i = 0; i < N_COUNTED; ++i) classes[i] = peer_predict(x_float[i], N_FEATURES);
    const uint32_t ticks = clock_ticks();
    for (uint32_t i = 0; i < N_COUNTED; ++i) errors += classes[i] != labels[i];
    say_number("", ticks, " ");
    say_number("", errors, "\n");
    return 0;
}
