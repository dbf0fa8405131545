/* Feeds every file of a folder to a fuzz target, without libFuzzer. Usage: replay FOLDER
 * SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"

#include <dirent.h>

enum { MOST_BYTES = 1 << 20 };

int main(int argc, char **argv) {
    static uint8_t bytes[MOST_BYTES];
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    unsigned n_files = 0;
    REQUIRE(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        FILE *file = fopen(path, "rb");
        REQUIRE(file);
        const size_t n_bytes = fread(bytes, 1, sizeof bytes, file);
        REQUIRE(n_bytes < sizeof bytes && fclose(file) == 0);
        printf("%s\n", path); /* the last line is the file that fails */
        fflush(stdout);
        LLVMFuzzerTestOneInput(bytes, n_bytes);
        ++n_files;
    }
    closedir(folder);
    REQUIRE(n_files > 0);
    printf("%u files\n", n_files);
    return 0;
}
