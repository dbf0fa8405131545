/* Version and status texts.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

uint32_t binnet_version(void) {
    return (uint32_t)BINNET_VERSION_MAJOR << 16 | BINNET_VERSION_MINOR << 8 | BINNET_VERSION_PATCH;
}

const char *binnet_status_text(binnet_status status) {
    switch (status) {
    case BINNET_OK: return "ok";
    case BINNET_ERR_ARGUMENT: return "a null pointer, or an argument outside its documented range";
    case BINNET_ERR_LIMIT: return "sizes beyond the limits within which sums cannot overflow";
    case BINNET_ERR_BUFFER_SIZE: return "the arena, scratch or output buffer is too small";
    case BINNET_ERR_ALIGNMENT:
        return "the arena or scratch is not aligned to BINNET_ALIGNMENT bytes";
    case BINNET_ERR_LABEL:
        return "a label is not below the number of classes, or a target not from -32 to 32";
    case BINNET_ERR_STATE: return "the net was not calibrated since its last training step";
    case BINNET_ERR_KIND: return "the bytes are not a libbinnet file of the wanted kind";
    case BINNET_ERR_VERSION: return "the file's format version is not one that this library reads";
    case BINNET_ERR_TRUNCATED: return "the file is shorter or longer than its header says";
    case BINNET_ERR_CHECKSUM: return "the file is damaged: its CRC-32 is wrong";
    case BINNET_ERR_CORRUPT: return "the file holds a value that its format does not allow";
    case BINNET_ERR_MISMATCH:
        return "it belongs to a net of another configuration, or a self-test had another result";
    }
    return "unknown status";
}
