/* A deployed model as export_c writes it: it must pass its self-test, and every score and class
 * must be the host's. The exit code is the self-test's status without its sign, if it fails.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "deployed.h"
#include "platform.h"
#include "report.h"
#include "rows.h"

#if DEPLOYED_SCRATCH_BYTES > MOST_SCRATCH_BYTES
#error "prediction takes more memory than was promised"
#endif

static uint64_t scratch[(DEPLOYED_SCRATCH_BYTES + 7) / 8];

/* The rows that differ from the host's. */
static uint32_t differing(const binnet_model *model, uint32_t *n_errors) {
    uint32_t n_differing = 0;
    for (uint32_t i = 0; i < N_ROWS; ++i) {
        int32_t row_scores[DEPLOYED_N_CLASSES];
        uint16_t class_index;
        if (failed(deployed_predict(model, inputs[i], row_scores, &class_index, scratch,
                                    DEPLOYED_SCRATCH_BYTES),
                   "predict"))
            return N_ROWS;
        n_differing += deployed_classes[class_index] != predicted[i] ||
                       memcmp(row_scores, scores[i], sizeof row_scores) != 0;
        *n_errors += deployed_classes[class_index] != labels[i];
    }
    return n_differing;
}

int main(void) {
    binnet_model model;
    uint32_t n_errors = 0;
    const binnet_status status = deployed_selftest(scratch, DEPLOYED_SCRATCH_BYTES);
    if (failed(status, "self-test")) return -(int)status;
    if (deployed_selftest(scratch, DEPLOYED_SCRATCH_BYTES - 1) != BINNET_ERR_BUFFER_SIZE) {
        say("less scratch would do\n");
        return 1;
    }
    if (failed(deployed_open(&model), "open")) return 1;
    const uint32_t n_differing = differing(&model, &n_errors);
    say_number("scratch ", DEPLOYED_SCRATCH_BYTES, "; ");
    say_number("", n_errors, " errors");
    say_number(" of ", N_ROWS, " rows");
    if (n_differing) say_number("; ", n_differing, " DIFFER FROM THE HOST'S");
    say_stack();
    return n_differing != 0;
}
