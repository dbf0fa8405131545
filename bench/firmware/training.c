/* Ticks of some training steps with full batches, after a few others.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"
#include "digits.h"
#include "net.h"
#include "report.h"

enum { RATE_EXPONENT = 4 };

static uint64_t arena[ARENA_BYTES / 8];

static int steps(binnet_net *net, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i)
        if (failed(binnet_net_train_step(net, x_train[i * BATCH_SIZE],
                                         labels_train + i * BATCH_SIZE, BATCH_SIZE, RATE_EXPONENT,
                                         NULL),
                   "step"))
            return 1;
    return 0;
}

int main(void) {
    binnet_net *net;
    if (failed(binnet_net_init(&net, arena, sizeof arena, &config), "init") ||
        steps(net, N_COUNTED))
        return 1;
    clock_start();
    if (steps(net, N_COUNTED)) return 1;
    say_number("", clock_ticks(), " 0\n");
    return 0;
}
