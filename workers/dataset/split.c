#include "workers/dataset/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/hash.h"
#include "common/utf8.h"
#include "workers/dataset/export.h"
#include "workers/dataset/tally.h"

enum { PATH_BYTES = 4096, NO_GROUP = -1 };

/* What goes to one part as a whole: samples, or, within a large group, the samples of one entity. */
struct unit {
    uint64_t hash; /* by it, units are put in a random order that the seed decides */
    uint64_t size; /* samples */
    int part;
    bool seen; /* of an entity: it stands in dev or test */
};

struct unit_ref {
    struct unit *unit;
};

struct units {
    struct unit *v;
    size_t n, cap;
};

struct place {
    size_t first, end; /* its entities, by entity only */
    uint32_t group;    /* where it has none */
    int part;
};

struct splitting {
    const struct nm_split *split;
    struct nm_tally known; /* hash of a key -> its unit + 1 */
    struct units groups;   /* of samples */
    struct units entities; /* by entity only */
    uint64_t *parents;     /* of an entity, towards that which stands for its group */
    size_t parents_cap;
    uint32_t *links; /* entities of the samples, one sample behind the other */
    size_t links_n, links_cap;
    struct place *places; /* (n) of the samples */
    size_t n, cap;
    struct nm_buf buf;
};

static bool room(void **v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t larger = *cap * 2 + 1024;
    void *grown = realloc(*v, larger * size);
    if (grown == NULL)
        return false;
    *v = grown;
    *cap = larger;
    return true;
}

/* The unit of a key, made if it is new; NO_GROUP: out of memory. */
static int64_t find_unit(struct splitting *s, struct units *units, uint64_t key)
{
    uint64_t *known = nm_tally_at(&s->known, key);
    if (known == NULL)
        return NO_GROUP;
    if (*known == 0) {
        if (!room((void **)&units->v, units->n, &units->cap, sizeof *units->v))
            return NO_GROUP;
        units->v[units->n++] = (struct unit){.hash = nm_mix64(key ^ nm_mix64(s->split->seed))};
        *known = units->n;
    }
    return (int64_t)*known - 1;
}

/* A text without regard to case, as a key of the kind given. */
static enum nm_err key_of(struct splitting *s, struct nm_str text, uint64_t kind, uint64_t *key)
{
    nm_buf_reset(&s->buf);
    enum nm_err err = nm_utf8_casefold(text.ptr, text.len, &s->buf);
    *key = nm_hash64(nm_buf_str(&s->buf), s->buf.len, kind);
    return err;
}

/* ---- first reading: what hangs together -------------------------------------------------------------------------
 */

static uint64_t root_of(struct splitting *s, uint64_t entity)
{
    while (s->parents[entity] != entity)
        entity = s->parents[entity] = s->parents[s->parents[entity]];
    return entity;
}

static enum nm_err link_entities(struct splitting *s, const struct nm_msg_sample *sample, struct place *place)
{
    for (size_t i = 0; i < sample->n_mentions; i++) {
        const struct nm_msg_mention *m = &sample->mentions[i];
        struct nm_str text = {sample->text.ptr + m->start, m->end - m->start};
        uint64_t key;
        enum nm_err err = key_of(s, text, 2, &key);
        int64_t entity = err == NM_OK ? find_unit(s, &s->entities, key) : NO_GROUP;
        if (entity == NO_GROUP || !room((void **)&s->links, s->links_n, &s->links_cap, sizeof *s->links))
            return err != NM_OK ? err : NM_ENOMEM;
        if ((size_t)entity + 1 == s->entities.n && s->entities.v[entity].size == 0) {
            if (!room((void **)&s->parents, (size_t)entity, &s->parents_cap, sizeof *s->parents))
                return NM_ENOMEM;
            s->parents[entity] = (uint64_t)entity;
        }
        s->entities.v[entity].size++;
        s->links[s->links_n++] = (uint32_t)entity;
        place->end = s->links_n;
        uint64_t a = root_of(s, s->links[place->first]), b = root_of(s, (uint64_t)entity);
        s->parents[a > b ? a : b] = a > b ? b : a;
    }
    return NM_OK;
}

static enum nm_err take_record(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct splitting *s = ctx;
    const struct nm_msg_sample *sample = &record->sample;
    bool by_entity = s->split->by == NM_SPLIT_ENTITY && sample->n_mentions > 0;
    bool by_document = s->split->by == NM_SPLIT_DOCUMENT && record->document.len > 0;
    uint64_t key;
    enum nm_err err = NM_OK;
    if (!room((void **)&s->places, s->n, &s->cap, sizeof *s->places))
        return nm_fail(diag, NM_ENOMEM, "split: out of memory");
    struct place *place = &s->places[s->n++];
    *place = (struct place){.first = s->links_n, .end = s->links_n};
    if (by_entity) {
        err = link_entities(s, sample, place);
    } else {
        err = by_document ? NM_OK : key_of(s, sample->text, 0, &key);
        if (by_document)
            key = nm_hash64(record->document.ptr, record->document.len, 1);
        int64_t group = err == NM_OK ? find_unit(s, &s->groups, key) : 0;
        err = group == NO_GROUP ? NM_ENOMEM : err;
        if (err == NM_OK) {
            place->group = (uint32_t)group;
            s->groups.v[group].size++;
        }
    }
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "split: %s", nm_err_name(err));
}

/* ---- the cut ----------------------------------------------------------------------------------------------------
 */

static int by_hash(const void *a, const void *b)
{
    const struct unit_ref *x = a, *y = b;
    return (x->unit->hash > y->unit->hash) - (x->unit->hash < y->unit->hash);
}

/* Each unit to a part, in random order: test until it has its share, then dev, then train. */
static void deal(const struct nm_split *split, struct unit_ref *order, size_t n)
{
    static const int parts[] = {NM_SPLIT_TEST, NM_SPLIT_DEV, NM_SPLIT_TRAIN};
    double all = (double)(split->shares[0] + split->shares[1] + split->shares[2]), total = 0, done = 0, end = 0;
    size_t next = 0;
    qsort(order, n, sizeof *order, by_hash);
    for (size_t i = 0; i < n; i++)
        total += (double)order[i].unit->size;
    for (size_t p = 0; p < 3; p++) {
        end += total * (double)split->shares[parts[p]] / all;
        bool last = true; /* of the parts that get anything */
        for (size_t q = p + 1; q < 3; q++)
            last = last && split->shares[parts[q]] == 0;
        while (next < n && split->shares[parts[p]] > 0 &&
               (last || done + (double)order[next].unit->size / 2 <= end)) {
            order[next].unit->part = parts[p];
            done += (double)order[next++].unit->size;
        }
    }
}

/* Groups of samples that share entities: the small ones become units, the entities of the large ones too. */
static enum nm_err deal_entities(struct splitting *s)
{
    size_t n = s->entities.n, small = 0, large = 0;
    uint64_t least = UINT64_MAX, all = s->split->shares[0] + s->split->shares[1] + s->split->shares[2];
    struct unit *whole = calloc(n + 1, sizeof *whole);
    struct unit_ref *order = calloc(2 * n + s->groups.n + 1, sizeof *order),
                    *cut = order != NULL ? order + n + s->groups.n : NULL;
    if (whole == NULL || order == NULL) {
        free(whole);
        free(order);
        return NM_ENOMEM;
    }
    for (size_t p = 0; p < 3; p++)
        if (s->split->shares[p] > 0 && s->split->shares[p] < least)
            least = s->split->shares[p];
    for (size_t i = 0; i < s->n; i++)
        if (s->places[i].first < s->places[i].end)
            whole[root_of(s, s->links[s->places[i].first])].size++;
    double limit = (double)s->n * (double)least / (double)all / 4;
    for (size_t e = 0; e < n; e++) {
        whole[e].hash = s->entities.v[e].hash;
        if (root_of(s, e) == e && (double)whole[e].size <= limit)
            order[small++].unit = &whole[e];
        else if ((double)whole[root_of(s, e)].size > limit)
            cut[large++].unit = &s->entities.v[e];
    }
    for (size_t g = 0; g < s->groups.n; g++)
        order[small++].unit = &s->groups.v[g];
    deal(s->split, order, small);
    deal(s->split, cut, large);
    for (size_t e = 0; e < n; e++)
        if ((double)whole[root_of(s, e)].size <= limit)
            s->entities.v[e].part = whole[root_of(s, e)].part;
    free(whole);
    free(order);
    return NM_OK;
}

static enum nm_err deal_groups(struct splitting *s)
{
    struct unit_ref *order = calloc(s->groups.n + 1, sizeof *order);
    if (order == NULL)
        return NM_ENOMEM;
    for (size_t g = 0; g < s->groups.n; g++)
        order[g].unit = &s->groups.v[g];
    deal(s->split, order, s->groups.n);
    free(order);
    return NM_OK;
}

/* A sample between the parts may be trained on after all where none of its entities stands in dev or test. */
static void take_back(struct splitting *s)
{
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = s->places[i].first; k < s->places[i].end; k++)
            if (s->places[i].part == NM_SPLIT_DEV || s->places[i].part == NM_SPLIT_TEST)
                s->entities.v[s->links[k]].seen = true;
    for (size_t i = 0; i < s->n; i++) {
        struct place *place = &s->places[i];
        bool seen = false;
        for (size_t k = place->first; k < place->end; k++)
            seen = seen || s->entities.v[s->links[k]].seen;
        if (place->part == NM_SPLIT_LEFT_OUT && !seen && s->split->shares[NM_SPLIT_TRAIN] > 0)
            place->part = NM_SPLIT_TRAIN;
    }
}

static enum nm_err cut(struct splitting *s, uint64_t counts[NM_SPLIT_PARTS])
{
    enum nm_err err = s->split->by == NM_SPLIT_ENTITY ? deal_entities(s) : deal_groups(s);
    for (size_t i = 0; i < s->n && err == NM_OK; i++) {
        struct place *place = &s->places[i];
        bool linked = place->first < place->end;
        place->part = linked ? s->entities.v[s->links[place->first]].part : s->groups.v[place->group].part;
        for (size_t k = place->first; k < place->end; k++)
            if (s->entities.v[s->links[k]].part != place->part)
                place->part = NM_SPLIT_LEFT_OUT;
    }
    if (err == NM_OK)
        take_back(s);
    for (size_t i = 0; i < s->n; i++)
        counts[s->places[i].part]++;
    return err;
}

/* ---- second reading: a part after the other ----------------------------------------------------------------------
 */

struct part_reading {
    const struct nm_source *source;
    const struct splitting *s;
    int part;
};

struct passing {
    const struct part_reading *reading;
    size_t at;
    nm_record_fn fn;
    void *ctx;
};

static enum nm_err pass_record(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct passing *p = ctx;
    if (p->at == p->reading->s->n)
        return nm_fail(diag, NM_ESTATE, "the data set grew while it was split");
    return p->reading->s->places[p->at++].part == p->reading->part ? p->fn(p->ctx, record, diag) : NM_OK;
}

static enum nm_err read_part(const void *from, nm_record_fn fn, void *ctx, struct nm_diag *diag)
{
    const struct part_reading *reading = from;
    struct passing p = {.reading = reading, .fn = fn, .ctx = ctx};
    return nm_source_read(reading->source, pass_record, &p, NULL, diag);
}

static enum nm_err write_parts(const struct splitting *s, const struct nm_source *source,
                               const struct nm_format *format, const char *dir, const uint64_t *counts,
                               struct nm_diag *diag)
{
    static const char *const names[] = {"train", "dev", "test", "left-out"};
    enum nm_err err = nm_file_make_dirs(dir, diag);
    for (int part = 0; part < NM_SPLIT_PARTS && err == NM_OK; part++) {
        struct part_reading reading = {.source = source, .s = s, .part = part};
        char path[PATH_BYTES];
        uint64_t written;
        int n = snprintf(path, sizeof path, "%s/%s.%s", dir, names[part], format->name);
        if (n < 0 || (size_t)n >= sizeof path)
            err = nm_fail(diag, NM_ELIMIT, "%s: the path is too long", dir);
        else if (counts[part] > 0)
            err = nm_export_records(read_part, &reading, format, path, &written, diag);
        else
            (void)unlink(path); /* of an earlier split */
    }
    return err;
}

enum nm_err nm_split_run(const struct nm_source *source, const struct nm_split *split, const struct nm_format *format,
                         const char *dir, uint64_t counts[NM_SPLIT_PARTS], struct nm_diag *diag)
{
    struct splitting s = {.split = split};
    memset(counts, 0, NM_SPLIT_PARTS * sizeof *counts);
    if (source->n_states == 0 && strcmp(source->path, "-") == 0)
        return nm_fail(diag, NM_EINVAL, "a data set is read several times while it is split: name a file");
    nm_buf_init(&s.buf, SIZE_MAX / 4);
    enum nm_err err = nm_source_read(source, take_record, &s, NULL, diag);
    if (err == NM_OK) {
        err = cut(&s, counts);
        err = err == NM_OK ? write_parts(&s, source, format, dir, counts, diag)
                           : nm_fail(diag, err, "split: %s", nm_err_name(err));
    }
    free(s.groups.v);
    free(s.entities.v);
    free(s.parents);
    free(s.links);
    free(s.places);
    nm_tally_clean_up(&s.known);
    nm_buf_clean_up(&s.buf);
    return err;
}
