/* Any text as a corpus, as a tagger's file over it, as a list, and as phrases and decoys: names are drawn, matched
 * and put in place of others, with all that may stand around them, and whatever comes of it is in order: tokens on
 * the text, mentions on tokens, tags that say what the mentions say. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "workers/dataset/augment.h"
#include "workers/dataset/dictionary.h"
#include "workers/dataset/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool right)
{
    if (!right)
        abort();
}

static enum nm_err take(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    const struct nm_msg_sample *s = &record->sample;
    (void)ctx;
    (void)diag;
    for (size_t i = 0, m = 0; i < s->n_tokens; i++) {
        const struct nm_msg_token *t = &s->tokens[i];
        check(t->start < t->end && t->end <= s->text.len && (i == 0 || s->tokens[i - 1].end <= t->start));
        while (m < s->n_mentions && s->mentions[m].end <= t->start)
            m++;
        bool inside = m < s->n_mentions && s->mentions[m].start < t->end;
        check(!inside || (s->mentions[m].start <= t->start && s->mentions[m].end >= t->end));
        check((t->tag.ptr[0] == 'O' && t->tag.len == 1) == !inside);
    }
    return NM_OK;
}

static int file_of(const uint8_t *data, size_t size, char path[32])
{
    int fd = memfd_create("fuzz", 0);
    check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static void draw_names(const char *corpus, uint64_t budget)
{
    struct nm_diag diag = {""};
    struct nm_names *names;
    struct nm_names_options options = {
        .from = {.path = corpus}, .unseen = &corpus, .n_unseen = budget == 1, .budget = budget, .seed = budget};
    enum nm_err err = nm_names_make(&options, &names, &diag);
    check(err == NM_OK || diag.text[0] != '\0');
    check(err != NM_OK || options.n_unseen == 0); /* a corpus is itself */
    size_t n = 0, drawn = 0;
    const struct nm_name *v = names != NULL ? nm_names_list(names, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        check(v[i].len > 0 && v[i].labelled > 0);
        drawn += v[i].drawn;
    }
    check(drawn == (n < budget ? n : (size_t)budget));
    nm_names_destroy(&names);
}

/* The first byte chooses what can be chosen; corpus, list and tagger's file are parted by NULs. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t none[1];
    const uint8_t *parts[3] = {none, none, none};
    size_t sizes[3] = {0};
    char paths[3][32];
    int fds[3];
    struct nm_diag diag = {""};
    if (size == 0)
        return 0;
    for (size_t i = 0, at = 1; i < 3 && at < size; i++) {
        const uint8_t *stop = memchr(data + at, '\0', size - at);
        parts[i] = data + at;
        sizes[i] = stop != NULL && i < 2 ? (size_t)(stop - data) - at : size - at;
        at += sizes[i] + 1;
    }
    for (size_t i = 0; i < 3; i++)
        fds[i] = file_of(parts[i], sizes[i], paths[i]);
    struct nm_entities *entities = nm_entities_new();
    check(entities != NULL);
    draw_names(paths[0], 1 + (data[0] & 7));
    if (nm_entities_load(entities, "T", paths[1], &diag) == NM_OK) {
        struct nm_dictionary d = {.entities = entities,
                                  .from = {.path = paths[0]},
                                  .text = (data[0] & 8) != 0,
                                  .with = (data[0] & 16) != 0 ? paths[2] : NULL,
                                  .sure = (data[0] & 32) != 0 ? 0.5 : 0,
                                  .prefer = (enum nm_prefer)(data[0] % 3)};
        struct nm_augment a = {
            .entities = entities, .from = {.path = paths[0]}, .copies = 3, .share = 0.5, .seed = data[0]};
        struct nm_project_augmentation how = nm_project_augmentation_default();
        how.asides = (data[0] & 128) != 0 ? paths[2] : NULL;
        how.decoys = (data[0] & 64) != 0 ? paths[2] : NULL;
        if (how.asides != NULL || how.decoys != NULL)
            a.surface = &how;
        struct nm_dictionary *from_d = &d;
        struct nm_augment *from_a = &a;
        diag.text[0] = '\0';
        check(nm_dictionary_read(&from_d, take, NULL, &diag) == NM_OK || diag.text[0] != '\0');
        diag.text[0] = '\0';
        check(nm_augment_read(&from_a, take, NULL, &diag) == NM_OK || diag.text[0] != '\0');
    }
    nm_entities_destroy(&entities);
    for (size_t i = 0; i < 3; i++)
        (void)close(fds[i]);
    return 0;
}
