/* mutate.c - a fuzz target without libFuzzer: mutate RUNS FILE...
 *
 * Each input is a piece of one of the files with some bytes changed, the same ones on every machine.  It finds what a
 * short run finds; the long ones, which learn what reaches new code, are those of the preset "fuzz".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

enum { FILES_MAX = 16, PIECE_MAX = 16384, CHANGES_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
    uint8_t *data;
    size_t size;
};

static struct file read_file(const char *path)
{
    struct file file = {0};
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    file.size = (size_t)ftell(f);
    file.data = malloc(file.size + 1);
    rewind(f);
    if (file.data == NULL || fread(file.data, 1, file.size, f) != file.size) {
        perror(path);
        exit(2);
    }
    (void)fclose(f);
    return file;
}

/* One change in place; the bytes that mean something to a parser come oftener than others. */
static size_t change(uint8_t *piece, size_t size, struct nm_rng *rng)
{
    static const uint8_t odd[] = "\0\xff\x80\"\\{}[],:\n\t -.09eE|";
    size_t at = (size_t)nm_rng_below(rng, size), n = 1 + (size_t)nm_rng_below(rng, 16);
    n = n < size - at ? n : size - at;
    switch (nm_rng_below(rng, 5)) {
    case 0:
        piece[at] = odd[nm_rng_below(rng, sizeof odd - 1)];
        return size;
    case 1:
        piece[at] ^= (uint8_t)(1U << nm_rng_below(rng, 8));
        return size;
    case 2: /* some bytes taken out */
        memmove(piece + at, piece + at + n, size - at - n);
        return size - n;
    case 3: /* some bytes twice */
        memmove(piece + at + n, piece + at, size - at);
        return size + n;
    default:
        return at; /* cut */
    }
}

static size_t make_input(const struct file *file, uint8_t *piece, struct nm_rng *rng)
{
    size_t size = file->size < PIECE_MAX ? file->size : 1 + (size_t)nm_rng_below(rng, PIECE_MAX);
    size_t from = (size_t)nm_rng_below(rng, file->size - size + 1);
    memcpy(piece, file->data + from, size);
    for (uint64_t i = 1 + nm_rng_below(rng, CHANGES_MAX); i > 0 && size > 0; i--)
        size = change(piece, size, rng);
    return size;
}

int main(int argc, char **argv)
{
    struct file files[FILES_MAX];
    static uint8_t piece[PIECE_MAX + 16 * CHANGES_MAX];
    struct nm_rng rng;
    int n = argc - 2;
    if (n < 1 || n > FILES_MAX) {
        fprintf(stderr, "usage: %s RUNS FILE... (%d at most)\n", argv[0], FILES_MAX);
        return 2;
    }
    for (int i = 0; i < n; i++)
        files[i] = read_file(argv[i + 2]);
    for (int i = 0; i < n; i++) /* as they are */
        (void)LLVMFuzzerTestOneInput(files[i].data, files[i].size < PIECE_MAX ? files[i].size : PIECE_MAX);
    nm_rng_init(&rng, 1);
    for (long run = strtol(argv[1], NULL, 10); run > 0; run--) {
        const size_t size = make_input(&files[nm_rng_below(&rng, (uint64_t)n)], piece, &rng);
        uint8_t *input = malloc(size + 1); /* of its own size, for an address sanitizer to see its end */
        if (input == NULL)
            return 1;
        memcpy(input, piece, size);
        (void)LLVMFuzzerTestOneInput(input, size);
        free(input);
    }
    for (int i = 0; i < n; i++)
        free(files[i].data);
    return 0;
}
