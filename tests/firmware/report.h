/* How the test programs say what happens.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef REPORT_H
#define REPORT_H

#include "binnet.h"

/* Prints "<before><n><after>", for want of printf. */
void say_number(const char *before, uint32_t n, const char *after);

/* Prints how much stack was used, and ends the line. */
void say_stack(void);

/* Whether a call did not succeed; then says so. */
int failed(binnet_status status, const char *what);

#endif
