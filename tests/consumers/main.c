/* Prints the checkpoint's CRC-32 after some training, and which library that was.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "train.h"

#include <stdio.h>

int main(void) {
    const unsigned long version = binnet_version();
    printf("%lu.%lu.%lu %08lx\n", version >> 16, version >> 8 & 255, version & 255,
           (unsigned long)trained_crc32());
    return 0;
}
