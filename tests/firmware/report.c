/* How the test programs say what happens.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"
#include "platform.h"

void say_number(const char *before, uint32_t n, const char *after) {
    char digits[11];
    char *p = digits + sizeof digits;
    *--p = '\0';
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    say(before);
    say(p);
    say(after);
}

void say_stack(void) {
    if (stack_used()) say_number("; stack ", stack_used(), "");
    say("\n");
}

int failed(binnet_status status, const char *what) {
    if (status == BINNET_OK) return 0;
    say(what);
    say(": ");
    say(binnet_status_text(status));
    say("\n");
    return 1;
}
