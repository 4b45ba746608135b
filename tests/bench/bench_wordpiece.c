/* usage: bench_wordpiece MODEL FILE [ROUNDS]
 * MB/s of nm_wordpiece_encode on the lines of FILE, one thread; the best of ROUNDS.  One JSON object; ids_hash is the
 * FNV-1a of all ids, by which the peer's are compared.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "workers/trainer/wordpiece.h"

/* Encode every line; returns the seconds it took, the ids of all in out. */
static double encode(const struct nm_wordpiece *wp, const struct nm_buf *text, struct nm_pieces *out)
{
    const char *at = text->data, *end = text->data + text->len;
    out->count = 0;
    int64_t start = nm_clock_mono_us();
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        if (nm_wordpiece_encode(wp, at, (size_t)(stop - at), out) != NM_OK)
            return -1;
        at = stop + 1;
    }
    return (double)(nm_clock_mono_us() - start) / 1e6;
}

int main(int argc, char **argv)
{
    struct nm_diag diag = {""};
    struct nm_wordpiece *wp = NULL;
    struct nm_pieces pieces = {0};
    struct nm_buf text;
    nm_buf_init(&text, 1 << 30);
    if (argc < 3 || nm_wordpiece_load(&wp, argv[1], &diag) != NM_OK || nm_file_read(argv[2], &text, &diag) != NM_OK) {
        fprintf(stderr, "bench_wordpiece: %s\n", argc < 3 ? "MODEL and FILE are needed" : diag.text);
        return 1;
    }
    double best = 1e9;
    for (int i = 0, n = argc > 3 ? atoi(argv[3]) : 5; i < n; i++) {
        double s = encode(wp, &text, &pieces);
        if (s < 0) {
            fprintf(stderr, "bench_wordpiece: %s: not UTF-8\n", argv[2]);
            return 1;
        }
        best = s < best ? s : best;
    }
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < pieces.count; i++) {
        hash = (hash ^ (pieces.ids[i] & 0xff)) * 1099511628211u;
        hash = (hash ^ (pieces.ids[i] >> 8 & 0xff)) * 1099511628211u;
    }
    printf("{\"mb_per_s\": %.2f, \"ids\": %zu, \"ids_hash\": \"%016" PRIx64 "\"}\n", (double)text.len / 1e6 / best,
           pieces.count, hash);
    nm_pieces_clean_up(&pieces);
    nm_wordpiece_destroy(&wp);
    nm_buf_clean_up(&text);
    return 0;
}
