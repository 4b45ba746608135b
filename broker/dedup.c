#include "broker/dedup.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "broker/keytable.h"
#include "broker/record.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"

enum {
    PATH_BYTES = 4096,
    COMPARED_MAX = 8, /* texts that one is compared with: those that share most bands */
    CANDIDATES_MAX = NM_FINGERPRINT_BANDS * NM_KEYTABLE_VALUES,
    NOTE_BYTES = 25
};

/* Kinds of keys, as the note has them.  The seeds part them in the index. */
enum { KIND_EXACT = 1, KIND_NEAR = 2, KIND_TEMPLATE = 4 };

struct nm_dedup {
    struct nm_keytable *table;
    struct nm_project_dedup wanted;
    unsigned kinds;
    uint64_t id;           /* of the index's file */
    uint64_t noted_pages;  /* of the next commit; 0: nothing is noted in it */
    uint64_t compared;     /* texts read to be compared, since the start */
    uint64_t template_key; /* the free place of the answer judged last; 0: none is wanted */
    struct nm_arena own, other;
};

static uint64_t key_of(unsigned kind, uint64_t hash, uint64_t nth)
{
    return nm_mix64(hash ^ nm_mix64(((uint64_t)kind << 32) + nth));
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* The text of a task that counts: accepted, and not given up since.  False: it is in nobody's way. */
static bool find_text(struct nm_broker *b, uint64_t task, struct nm_fingerprint_text *text, struct nm_str *print)
{
    struct nm_dedup *d = b->dedup;
    struct nm_queue_task view;
    struct nm_str frame;
    nm_arena_reset(&d->other);
    d->compared++;
    if (!nm_queue_get(b->queue, task, &view) && nm_ledger_ended(b->ledger, task, &view, NULL) != NM_OK)
        return false;
    if (view.state != NM_TASK_ACCEPTED && view.state != NM_TASK_ALIGNING && view.state != NM_TASK_DONE)
        return false;
    *print = (struct nm_str){NULL, 0};
    if (nm_recent_get(&b->recent, task, view.attempt, &frame)) { /* of this turn: not in the ledger yet */
        struct nm_msg msg;
        if (nm_msg_decode(frame.ptr, frame.len, &d->other, &msg, NULL) != NM_OK)
            return false;
        const struct nm_msg_align *a = &msg.u.align;
        *text = (struct nm_fingerprint_text){a->text, a->entities, a->n_entities, a->mentions, a->n_mentions};
        return true;
    }
    struct nm_msg_response r;
    if (nm_ledger_read_response(b->ledger, task, view.attempt, &d->other, &r, NULL) != NM_OK || !r.accepted)
        return false;
    *text = (struct nm_fingerprint_text){r.text, r.entities, r.n_entities, r.mentions, r.n_mentions};
    *print = r.fingerprint;
    return true;
}

/* The fingerprint of a task that counts. */
static bool find_print(struct nm_broker *b, uint64_t task, struct nm_fingerprint *print)
{
    struct nm_fingerprint_text text;
    struct nm_str bytes;
    return find_text(b, task, &text, &bytes) &&
           (nm_fingerprint_decode(bytes, print) || nm_fingerprint_make(&text, &b->dedup->other, print) == NM_OK);
}

/* ---- the three questions --------------------------------------------------------------------- */

static bool is_duplicate(struct nm_broker *b, uint64_t task, const struct nm_fingerprint *print)
{
    uint64_t tasks[NM_KEYTABLE_VALUES];
    struct nm_fingerprint other;
    size_t n = nm_keytable_get(b->dedup->table, key_of(KIND_EXACT, print->exact, 0), tasks);
    for (size_t i = 0; i < n; i++)
        if (tasks[i] != task && find_print(b, tasks[i], &other) && other.exact == print->exact)
            return true;
    return false;
}

struct candidate {
    uint64_t task;
    unsigned bands; /* shared */
};

static int by_bands(const void *a, const void *b)
{
    unsigned x = ((const struct candidate *)a)->bands;
    unsigned y = ((const struct candidate *)b)->bands;
    return (x < y) - (x > y);
}

static size_t find_candidates(const struct nm_dedup *d, uint64_t task, const struct nm_fingerprint *print,
                              struct candidate found[CANDIDATES_MAX])
{
    size_t n = 0;
    for (unsigned band = 0; band < NM_FINGERPRINT_BANDS; band++) {
        uint64_t tasks[NM_KEYTABLE_VALUES];
        size_t k = nm_keytable_get(d->table, key_of(KIND_NEAR, print->bands[band], band), tasks);
        for (size_t i = 0; i < k; i++) {
            size_t at = 0;
            while (at < n && found[at].task != tasks[i])
                at++;
            if (tasks[i] == task)
                continue;
            if (at == n)
                found[n++] = (struct candidate){tasks[i], 0};
            found[at].bands++;
        }
    }
    qsort(found, n, sizeof *found, by_bands);
    return n < COMPARED_MAX ? n : COMPARED_MAX;
}

static bool is_near(struct nm_broker *b, const struct nm_msg_response *response, const struct nm_fingerprint *print)
{
    struct nm_dedup *d = b->dedup;
    struct candidate found[CANDIDATES_MAX];
    size_t n = find_candidates(d, response->task, print, found);
    for (size_t i = 0; i < n; i++) {
        struct nm_fingerprint_text other;
        struct nm_str bytes;
        double similarity = 0;
        nm_arena_reset(&d->own);
        if (find_text(b, found[i].task, &other, &bytes) &&
            nm_fingerprint_jaccard(response->text, other.text, &d->own, &similarity) == NM_OK &&
            similarity >= d->wanted.near)
            return true;
    }
    return false;
}

/* Whether one place of a template is taken by a text that counts. */
static bool is_taken(struct nm_broker *b, uint64_t task, const struct nm_fingerprint *print, uint64_t key)
{
    uint64_t tasks[NM_KEYTABLE_VALUES];
    struct nm_fingerprint other;
    size_t n = nm_keytable_get(b->dedup->table, key, tasks);
    for (size_t i = 0; i < n; i++)
        if (tasks[i] != task && find_print(b, tasks[i], &other) && other.template == print->template)
            return true;
    return false;
}

/* Notes the first free place. */
static bool is_worn(struct nm_broker *b, uint64_t task, const struct nm_fingerprint *print)
{
    struct nm_dedup *d = b->dedup;
    if (print->template == 0)
        return false;
    for (uint64_t nth = 0; nth < d->wanted.per_template; nth++) {
        uint64_t key = key_of(KIND_TEMPLATE, print->template, nth);
        if (!is_taken(b, task, print, key)) {
            d->template_key = key;
            return false;
        }
    }
    return true;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

/* The queue would take this answer: it is the first to the attempt that is asked for. */
static bool is_awaited(const struct nm_broker *b, const struct nm_msg_response *response)
{
    struct nm_queue_task view;
    return nm_queue_get(b->queue, response->task, &view) && view.attempt == response->attempt &&
           (view.state == NM_TASK_READY || view.state == NM_TASK_DELAYED || view.state == NM_TASK_LEASED);
}

static void prefetch(const struct nm_dedup *d, const struct nm_fingerprint *print)
{
    if (d->kinds & KIND_EXACT)
        nm_keytable_prefetch(d->table, key_of(KIND_EXACT, print->exact, 0));
    for (unsigned i = 0; i < NM_FINGERPRINT_BANDS && d->kinds & KIND_NEAR; i++)
        nm_keytable_prefetch(d->table, key_of(KIND_NEAR, print->bands[i], i));
}

static void refuse(struct nm_msg_response *response, const char *rule, const char *detail)
{
    response->accepted = false;
    response->rule = nm_str(rule);
    response->detail = nm_str(detail);
}

enum nm_err nm_dedup_judge(struct nm_broker *b, struct nm_msg_response *response, struct nm_fingerprint *print)
{
    struct nm_dedup *d = b->dedup;
    if (b->replay)
        return nm_replay_judge(b, response);
    if (!d || nm_response_rejected(response) || !is_awaited(b, response))
        return NM_OK;
    d->template_key = 0;
    if (!nm_fingerprint_decode(response->fingerprint, print)) {
        struct nm_fingerprint_text text = {response->text, response->entities, response->n_entities,
                                           response->mentions, response->n_mentions};
        nm_arena_reset(&d->own);
        enum nm_err err = nm_fingerprint_make(&text, &d->own, print);
        if (err)
            return err;
    }
    prefetch(d, print);
    if (d->kinds & KIND_EXACT && is_duplicate(b, response->task, print))
        refuse(response, "duplicate", "the same sentence has been written before: write a different one");
    else if (d->kinds & KIND_NEAR && is_near(b, response, print))
        refuse(response, "near_duplicate",
               "nearly the same sentence has been written before: write one with other words and another structure");
    else if (d->kinds & KIND_TEMPLATE && is_worn(b, response->task, print))
        refuse(response, "template",
               "this sentence has been written before with other terms in the same places: write one that is built "
               "differently");
    return NM_OK;
}

static enum nm_err enter(struct nm_broker *b, uint64_t key, uint64_t task)
{
    nm_keytable_put(b->dedup->table, key, task);
    return nm_ledger_add_key(b->ledger, key, task);
}

enum nm_err nm_dedup_keep(struct nm_broker *b, uint64_t task, const struct nm_fingerprint *print)
{
    struct nm_dedup *d = b->dedup;
    enum nm_err err = NM_OK;
    if (!d)
        return NM_OK;
    if (d->kinds & KIND_EXACT)
        err = enter(b, key_of(KIND_EXACT, print->exact, 0), task);
    if (!err && d->template_key)
        err = enter(b, d->template_key, task);
    for (unsigned i = 0; i < NM_FINGERPRINT_BANDS && d->kinds & KIND_NEAR && !err; i++)
        err = enter(b, key_of(KIND_NEAR, print->bands[i], i), task);
    return err;
}

/* ---- to the disk ----------------------------------------------------------------------------- */

static enum nm_err note(struct nm_broker *b, uint64_t pages, uint64_t count)
{
    struct nm_dedup *d = b->dedup;
    struct nm_buf bytes;
    nm_buf_init(&bytes, NOTE_BYTES);
    enum nm_err err = nm_record_put(&bytes, d->kinds, 1);
    if (!err)
        err = nm_record_put(&bytes, d->id, 8);
    if (!err)
        err = nm_record_put(&bytes, pages, 8);
    if (!err)
        err = nm_record_put(&bytes, count, 8);
    if (!err)
        err = nm_ledger_note(b->ledger, "dedup", bytes.data, bytes.len);
    nm_buf_clean_up(&bytes);
    d->noted_pages = pages;
    return err;
}

enum nm_err nm_dedup_turn(struct nm_broker *b)
{
    struct nm_dedup *d = b->dedup;
    uint64_t pages, count;
    if (!d)
        return NM_OK;
    if (nm_keytable_synced(d->table, &pages, &count)) {
        enum nm_err err = nm_ledger_drop_keys(b->ledger);
        return err ? err : note(b, pages, count);
    }
    if (!nm_keytable_due(d->table) || d->noted_pages)
        return NM_OK;
    enum nm_err err = nm_ledger_turn_keys(b->ledger);
    if (!err)
        nm_keytable_begin_sync(d->table);
    return err;
}

void nm_dedup_committed(struct nm_broker *b)
{
    struct nm_dedup *d = b->dedup;
    if (!d || !d->noted_pages)
        return;
    nm_keytable_committed(d->table, d->noted_pages);
    d->noted_pages = 0;
}

/* ---- open and close -------------------------------------------------------------------------- */

static void put_again(void *ctx, uint64_t key, uint64_t task)
{
    nm_keytable_put(ctx, key, task);
}

struct rebuilding {
    struct nm_dedup *d;
    uint64_t texts;
};

/* Every text that was ever accepted: those that no longer count are found out when they are compared. */
static enum nm_err index_response(void *ctx, const struct nm_msg_response *r)
{
    struct rebuilding *build = ctx;
    struct nm_dedup *d = build->d;
    struct nm_fingerprint print;
    if (!r->accepted)
        return NM_OK;
    if (!nm_fingerprint_decode(r->fingerprint, &print)) {
        struct nm_fingerprint_text text = {r->text, r->entities, r->n_entities, r->mentions, r->n_mentions};
        nm_arena_reset(&d->own);
        enum nm_err err = nm_fingerprint_make(&text, &d->own, &print);
        if (err)
            return err;
    }
    build->texts++;
    nm_keytable_put(d->table, key_of(KIND_EXACT, print.exact, 0), r->task);
    for (unsigned i = 0; i < NM_FINGERPRINT_BANDS && d->kinds & KIND_NEAR; i++)
        nm_keytable_put(d->table, key_of(KIND_NEAR, print.bands[i], i), r->task);
    for (uint64_t nth = 0; nth < d->wanted.per_template && print.template; nth++) {
        uint64_t tasks[NM_KEYTABLE_VALUES];
        uint64_t key = key_of(KIND_TEMPLATE, print.template, nth);
        if (nm_keytable_get(d->table, key, tasks) > 0)
            continue;
        nm_keytable_put(d->table, key, r->task);
        break;
    }
    return NM_OK;
}

/* What the index has is forced to the disk and noted; the journal, which is in it, goes with the next commit. */
static enum nm_err settle(struct nm_broker *b, struct nm_diag *diag)
{
    uint64_t pages = 0, count = 0;
    enum nm_err err = NM_OK;
    nm_keytable_begin_sync(b->dedup->table);
    nm_keytable_wait(b->dedup->table);
    if (!nm_keytable_synced(b->dedup->table, &pages, &count))
        err = nm_fail(diag, NM_EIO, "the index of duplicates can't be written");
    if (!err)
        err = note(b, pages, count);
    for (int half = 0; half < 2 && !err; half++) {
        err = nm_ledger_drop_keys(b->ledger);
        if (!err)
            err = nm_ledger_turn_keys(b->ledger);
    }
    return err;
}

static enum nm_err read_note(struct nm_broker *b, unsigned *kinds, uint64_t *pages, uint64_t *count,
                             struct nm_diag *diag)
{
    struct nm_buf bytes;
    nm_buf_init(&bytes, NOTE_BYTES);
    enum nm_err err = nm_ledger_read_note(b->ledger, "dedup", &bytes, diag);
    struct nm_record in = {(const unsigned char *)nm_buf_str(&bytes), bytes.len, err || bytes.len != NOTE_BYTES};
    *kinds = (unsigned)nm_record_get(&in, 1);
    uint64_t id = nm_record_get(&in, 8);
    *pages = nm_record_get(&in, 8);
    *count = nm_record_get(&in, 8);
    if (in.bad)
        *kinds = 0;
    if (b->dedup && !in.bad)
        b->dedup->id = id;
    nm_buf_clean_up(&bytes);
    return err == NM_ENOENT ? NM_OK : err;
}

static enum nm_err fill(struct nm_broker *b, bool anew, struct nm_diag *diag)
{
    struct rebuilding build = {b->dedup, 0};
    if (!anew)
        return nm_ledger_read_keys(b->ledger, put_again, b->dedup->table, diag);
    enum nm_err err = nm_ledger_each_response(b->ledger, index_response, &build, diag);
    if (!err && build.texts)
        nm_info("the index of duplicates was made from %llu accepted texts", (unsigned long long)build.texts);
    return err;
}

static enum nm_err open_table(struct nm_broker *b, struct nm_diag *diag)
{
    struct nm_dedup *d = b->dedup;
    char path[PATH_BYTES];
    unsigned kinds = 0;
    uint64_t pages = 0, count = 0;
    bool fresh = false;
    if (nm_file_join(b->state_dir, "dedup.index", path, sizeof path))
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", b->state_dir);
    enum nm_err err = read_note(b, &kinds, &pages, &count, diag);
    if ((kinds & d->kinds) != d->kinds)
        pages = 0; /* it lacks something: made anew */
    if (!err && pages == 0 && getrandom(&d->id, sizeof d->id, 0) != (ssize_t)sizeof d->id)
        err = nm_fail(diag, NM_EIO, "the system gives no random bytes");
    if (!err)
        err = nm_keytable_open(path, d->id, pages, count, &d->table, &fresh, diag);
    if (!err)
        err = fill(b, fresh, diag);
    return err ? err : settle(b, diag);
}

enum nm_err nm_dedup_open(struct nm_broker *b, struct nm_diag *diag)
{
    const struct nm_project_dedup *wanted = &b->project->dedup;
    unsigned kinds = (wanted->exact ? KIND_EXACT : 0U) | (wanted->near > 0 ? KIND_NEAR : 0U) |
                     (wanted->per_template > 0 ? KIND_TEMPLATE : 0U);
    if (kinds == 0 || b->replay) /* what is accepted meanwhile is in no index: the next one is made anew */
        return nm_ledger_note(b->ledger, "dedup", "", 0);
    b->dedup = calloc(1, sizeof *b->dedup);
    if (!b->dedup)
        return nm_fail(diag, NM_ENOMEM, "no memory for the search for duplicates");
    b->dedup->wanted = *wanted;
    b->dedup->kinds = kinds;
    nm_arena_init(&b->dedup->own, 0);
    nm_arena_init(&b->dedup->other, 0);
    return open_table(b, diag);
}

void nm_dedup_close(struct nm_dedup **dedup)
{
    struct nm_dedup *d = *dedup;
    *dedup = NULL;
    if (!d)
        return;
    nm_keytable_close(&d->table);
    nm_arena_clean_up(&d->own);
    nm_arena_clean_up(&d->other);
    free(d);
}

json_t *nm_dedup_describe(const struct nm_dedup *d)
{
    return d ? json_pack("{s:I, s:I, s:I, s:I}", "keys", (json_int_t)nm_keytable_count(d->table), "bytes",
                         (json_int_t)nm_keytable_bytes(d->table), "lost", (json_int_t)nm_keytable_lost(d->table),
                         "compared", (json_int_t)d->compared)
             : NULL;
}
