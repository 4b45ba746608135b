/* The readers of other people's corpora never crash, say something about every error, and what they give is in order:
 * tokens and mentions on the text, tags that say what the mentions say; and its JSON is read again as the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "workers/dataset/format.h"
#include "workers/dataset/import.h"
#include "workers/dataset/read_jsonl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool right)
{
    if (!right)
        abort();
}

static void check_tags(const struct nm_msg_sample *s)
{
    for (size_t i = 0, m = 0; i < s->n_tokens; i++) {
        const struct nm_msg_token *t = &s->tokens[i];
        check(t->start < t->end && t->end <= s->text.len && (i == 0 || s->tokens[i - 1].end <= t->start));
        while (m < s->n_mentions && s->mentions[m].end <= t->start)
            m++;
        bool inside = m < s->n_mentions && s->mentions[m].start < t->end;
        char want = !inside                              ? 'O'
                    : nm_mention_masked(&s->mentions[m]) ? '-'
                    : t->start <= s->mentions[m].start   ? 'B'
                                                         : 'I';
        check(t->tag.ptr[0] == want);
    }
    for (size_t m = 0; m < s->n_mentions; m++)
        check(s->mentions[m].start < s->mentions[m].end && s->mentions[m].end <= s->text.len &&
              (m == 0 || s->mentions[m - 1].end <= s->mentions[m].start));
}

/* Written as a line of JSON, read, and written again. */
static void check_again(const struct nm_record *record)
{
    struct nm_buf first, second;
    struct nm_arena arena;
    struct nm_record again;
    struct nm_record_counts counts = {0};
    struct nm_diag diag = {""};
    nm_buf_init(&first, 1 << 24);
    nm_buf_init(&second, 1 << 24);
    nm_arena_init(&arena, 0);
    check(nm_record_write_json(record, &first) == NM_OK);
    struct nm_lines lines = {.name = "again", .data = first.data, .len = first.len - 1, .number = 1};
    check(nm_jsonl_record(&lines, &arena, &again, &counts, &diag) == NM_OK);
    check(nm_record_write_json(&again, &second) == NM_OK);
    check(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    nm_buf_clean_up(&first);
    nm_buf_clean_up(&second);
    nm_arena_clean_up(&arena);
}

static enum nm_err take(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    bool ours = *(const bool *)ctx; /* tags were made by us, not told */
    (void)diag;
    check(record->sample.n_tokens > 0 && nm_utf8_valid(record->sample.text.ptr, record->sample.text.len, NULL));
    if (ours)
        check_tags(&record->sample);
    check_again(record);
    return NM_OK;
}

/* The first byte says which reader; bc4chemd has both its files in one, parted by a NUL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct nm_import_format *format = &nm_import_formats[data[0] % nm_import_n_formats];
    const uint8_t *cut = memchr(data + 1, '\0', size - 1);
    bool two = strcmp(format->name, "bc4chemd") == 0, ours = strcmp(format->name, "jsonl") != 0;
    size_t n = two && cut != NULL ? (size_t)(cut - data) - 1 : size - 1;
    char paths[2][32];
    const uint8_t *parts[] = {data + 1, data + 1 + n};
    const size_t sizes[] = {n, size - 1 - n};
    int fds[2];
    for (size_t i = 0; i < 2; i++) {
        fds[i] = memfd_create("fuzz", 0);
        check(fds[i] >= 0 && write(fds[i], parts[i], sizes[i]) == (ssize_t)sizes[i]);
        (void)snprintf(paths[i], sizeof paths[i], "/proc/self/fd/%d", fds[i]);
    }
    struct nm_import import = {.format = format->name,
                               .path = paths[0],
                               .annotations = two ? paths[1] : NULL,
                               .sentences = (data[0] & 0x80) != 0 && (two || strcmp(format->name, "pubtator") == 0)};
    struct nm_record_counts counts;
    struct nm_diag diag = {""};
    enum nm_err err = nm_import_read(&import, take, &ours, &counts, &diag);
    check(err == NM_OK ? counts.records > 0 : diag.text[0] != '\0');
    for (size_t i = 0; i < 2; i++)
        (void)close(fds[i]);
    return 0;
}
