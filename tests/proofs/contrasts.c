/* What a program calls that makes contrasts of images: for the size of that.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "binnet.h"

uint8_t *volatile pixels;
uint8_t *volatile inputs;

int main(void) { return (int)binnet_contrasts(32, 32, 3, pixels, 1, inputs); }
