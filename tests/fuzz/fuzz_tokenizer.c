/* Loading never crashes, whatever tokenizer.json or vocab.txt holds; and what was loaded encodes any bytes, to ids
 * that the vocabulary has, or says that they are not UTF-8.  Input: one byte, the file's kind; the file up to the
 * first byte 0xff; the text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/utf8.h"
#include "workers/trainer/wordpiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct nm_wordpiece *wp, const char *text, size_t len)
{
    struct nm_pieces pieces = {0};
    enum nm_err err = nm_wordpiece_encode(wp, text, len, &pieces);
    if (err == NM_OK && nm_utf8_valid(text, len, NULL))
        for (size_t i = 0; i < pieces.count; i++)
            if (pieces.ids[i] >= nm_wordpiece_vocab_size(wp))
                abort();
    if (err != NM_OK && nm_utf8_valid(text, len, NULL))
        abort();
    nm_pieces_clean_up(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char paths[2][64];
    if (paths[0][0] == '\0') {
        (void)snprintf(paths[0], sizeof paths[0], "/tmp/nm-fuzz-%ld.json", (long)getpid());
        (void)snprintf(paths[1], sizeof paths[1], "/tmp/nm-fuzz-%ld.txt", (long)getpid());
    }
    if (size == 0)
        return 0;
    const char *path = paths[data[0] & 1];
    const uint8_t *file = data + 1, *end = data + size, *cut = memchr(file, 0xff, (size_t)(end - file));
    if (cut == NULL)
        cut = end;
    FILE *out = fopen(path, "wb");
    if (out == NULL)
        return 0;
    (void)fwrite(file, 1, (size_t)(cut - file), out);
    fclose(out);
    struct nm_wordpiece *wp = NULL;
    struct nm_diag diag = {""};
    if (nm_wordpiece_load(&wp, path, &diag) == NM_OK)
        encode(wp, (const char *)(cut < end ? cut + 1 : end), (size_t)(cut < end ? end - cut - 1 : 0));
    else if (diag.text[0] == '\0')
        abort(); /* an error without words */
    nm_wordpiece_destroy(&wp);
    unlink(path);
    return 0;
}
