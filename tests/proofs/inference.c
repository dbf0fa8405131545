/* What a program that only predicts calls: for the size of that.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "binnet.h"

const uint8_t *volatile model_bytes;
void *volatile arena;
volatile uint16_t answer;

int main(void) {
    binnet_model model;
    uint16_t class;

    if (binnet_model_open(&model, model_bytes, 1000, NULL) != BINNET_OK) return 1;
    if (binnet_model_predict(&model, model_bytes, 1, NULL, &class, arena, 4096) != BINNET_OK)
        return 2;
    answer = class;
    return 0;
}
