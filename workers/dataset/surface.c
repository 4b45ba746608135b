#include "workers/dataset/surface.h"

#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "workers/dataset/deck.h"
#include "workers/dataset/draft.h"
#include "workers/dataset/phrases.h"
#include "workers/dataset/surface_spots.h"

struct nm_surface {
    struct nm_surface_parts parts;
    struct nm_phrases phrases;
    struct nm_entities *decoys;        /* as the file has them */
    size_t *kept;                      /* (decoy_deck.n) those of them that are on no list */
    struct nm_terms terms;             /* the same, to be found */
    struct nm_deck decoy_deck, *decks; /* decks: by type */
    struct nm_draft draft;
    struct nm_buf word; /* what is being written */
    struct nm_surface_counts counts;
};

/* A copy that is being drawn. */
struct drawing {
    struct nm_surface *s;
    struct nm_draft *draft;
    struct nm_rng *rng;
};

/* Asides are rarer before a comma than behind a mention, and more frequent before a full stop. */
static const double at_comma = 0.6, at_stop = 1.4;
/* Of the probability that a mention is enumerated: that a decoy is. */
static const double of_decoys = 0.8;

static bool happens(const struct drawing *d, double probability)
{
    return nm_rng_unit(d->rng) < probability;
}

static struct nm_str text_of(const struct nm_entity *entity)
{
    return (struct nm_str){entity->text, entity->len};
}

/* ---- pieces ---------------------------------------------------------------------------------------------------- */

static void put(const struct drawing *d, const char *text)
{
    nm_draft_add(d->draft, text, strlen(text));
}

/* With numbers of its own. */
static void put_phrase(const struct drawing *d, struct nm_str phrase)
{
    struct nm_buf *word = &d->s->word;
    nm_buf_reset(word);
    const enum nm_err err = nm_phrases_vary(phrase, d->rng, word);
    if (d->draft->err == NM_OK)
        d->draft->err = err;
    nm_draft_add(d->draft, nm_buf_str(word), word->len);
}

static void put_aside(const struct drawing *d)
{
    const struct nm_phrases *phrases = &d->s->phrases;
    if (phrases->n_asides == 0)
        return;
    const struct nm_str aside = phrases->asides[nm_rng_below(d->rng, phrases->n_asides)].before;
    if (aside.ptr[0] != ',' && aside.ptr[0] != ';')
        put(d, " ");
    put_phrase(d, aside);
    d->s->counts.asides++;
}

static struct nm_str deal_name(const struct nm_surface *s, size_t type)
{
    const size_t number = s->parts.names[type].names[nm_deck_deal(&s->decks[type])];
    return text_of(nm_entities_get(s->parts.entities, number));
}

/* Another name of the type, with what stands around it. */
static void put_name(const struct drawing *d, const char *before, size_t type, const char *after)
{
    const struct nm_surface *s = d->s;
    const struct nm_str name = deal_name(s, type);
    put(d, before);
    nm_draft_name(d->draft, name.ptr, name.len, nm_str(nm_entities_type_name(s->parts.entities, type)));
    put(d, after);
    d->s->counts.added++;
}

static void put_decoy(const struct drawing *d)
{
    const struct nm_surface *s = d->s;
    const struct nm_str term = text_of(nm_entities_get(s->decoys, s->kept[nm_deck_deal(&d->s->decoy_deck)]));
    nm_draft_add(d->draft, term.ptr, term.len);
    d->s->counts.decoys++;
}

/* ---- behind a mention ------------------------------------------------------------------------------------------ */

/* In a row with one or two others of its type, as text enumerates and contrasts. */
static void put_row(const struct drawing *d, size_t type)
{
    static const char *const between[] = {" plus ", " with ", " or ", " versus ", " vs ", " than ", " + "};
    const double way = nm_rng_unit(d->rng);
    if (way < 0.3) {
        put_name(d, " and ", type, "");
    } else if (way < 0.5) {
        const bool comma = happens(d, 0.5), all = happens(d, 0.5);
        put_name(d, ", ", type, comma ? "," : "");
        put_name(d, all ? " and " : " or ", type, "");
    } else if (way < 0.6) {
        put_name(d, "/", type, "");
    } else if (way < 0.7) {
        put_name(d, "-", type, "");
    } else if (way < 0.8) {
        put_name(d, between[nm_rng_below(d->rng, sizeof between / sizeof *between)], type, "");
    } else {
        put_name(d, " (", type, ")");
    }
}

enum { WORDS_MIN = 2, WORDS_MAX = 5, LETTERS_MIN = 6 };

/* The initials of a name's words in capitals, or of a name of one long word its first letters; false: it has no
 * short form. */
static bool abbreviate(struct nm_str name, struct nm_rng *rng, struct nm_buf *out)
{
    static const size_t lengths[] = {2, 3, 3, 4};
    int32_t cp, before = ' ';
    char initials[WORDS_MAX * 4], start[4 * 4];
    size_t words = 0, letters = 0, n_initials = 0, n_start = 0;
    const size_t wanted = lengths[nm_rng_below(rng, 4)];
    for (size_t at = 0; at < name.len; before = cp) {
        const int n = nm_utf8_next(name.ptr + at, name.len - at, &cp);
        if (n <= 0)
            return false;
        at += (size_t)n;
        const bool inside = nm_utf8_is_letter(before) || nm_utf8_is_digit(before);
        if (!nm_utf8_is_letter(cp))
            continue;
        if (!inside && ++words > WORDS_MAX)
            return false;
        if (!inside)
            n_initials += (size_t)nm_utf8_put(nm_utf8_upper(cp), initials + n_initials);
        if (words == 1 && letters++ < wanted)
            n_start += (size_t)nm_utf8_put(nm_utf8_upper(cp), start + n_start);
    }
    nm_buf_reset(out);
    if (words >= WORDS_MIN)
        return nm_buf_add(out, initials, n_initials) == NM_OK;
    return words == 1 && letters >= LETTERS_MIN && nm_buf_add(out, start, n_start) == NM_OK;
}

/* A short form that is a name of another type, or a decoy, would be a wrong label. */
static bool is_taken(const struct nm_surface *s, size_t type, const struct nm_buf *word)
{
    const struct nm_entities *e = s->parts.entities;
    bool taken = s->decoys != NULL &&
                 nm_entities_find(s->decoys, NM_ENTITIES_ANY, nm_buf_str(word), word->len) != NM_ENTITIES_NONE;
    for (size_t i = 0; i < nm_entities_type_count(e) && !taken; i++)
        taken = i != type && nm_entities_find(e, i, nm_buf_str(word), word->len) != NM_ENTITIES_NONE;
    return taken;
}

static void put_abbreviation(const struct drawing *d, size_t type, const struct nm_msg_mention *m, struct nm_str name)
{
    struct nm_buf *word = &d->s->word;
    if (!abbreviate(name, d->rng, word) || is_taken(d->s, type, word))
        return;
    put(d, " (");
    nm_draft_name(d->draft, nm_buf_str(word), word->len, m->type);
    put(d, ")");
    d->s->counts.abbreviated++;
}

/* ---- spots ----------------------------------------------------------------------------------------------------- */

/* A frame that may stand around a mention of the type, each as likely; NULL: none. */
static const struct nm_phrase *draw_frame(const struct drawing *d, size_t type)
{
    const struct nm_phrases *phrases = &d->s->phrases;
    const struct nm_phrase *drawn = NULL;
    if (phrases->n_frames == 0 || !happens(d, d->s->parts.how->frame))
        return NULL;
    size_t able = 0;
    for (size_t i = 0; i < phrases->n_frames; i++) {
        const struct nm_phrase *frame = &phrases->frames[i];
        if ((frame->type == NM_ENTITIES_ANY || frame->type == type) && nm_rng_below(d->rng, ++able) == 0)
            drawn = frame;
    }
    d->s->counts.framed += drawn != NULL;
    return drawn;
}

/* The mention's name, or another one: what it is now. */
static struct nm_str put_mention(const struct drawing *d, const struct nm_msg_mention *m, size_t type)
{
    const struct nm_msg_sample *from = d->draft->source;
    const struct nm_surface *s = d->s;
    struct nm_str name = {from->text.ptr + m->start, m->end - m->start};
    if (happens(d, s->parts.how->share) && type != NM_ENTITIES_NONE && s->decks[type].n > 0) {
        name = deal_name(s, type);
        nm_draft_name(d->draft, name.ptr, name.len, m->type);
        nm_draft_skip(d->draft, m->end);
        d->s->counts.replaced++;
    } else {
        nm_draft_keep(d->draft, m);
    }
    return name;
}

static void draw_mention(const struct drawing *d, const struct nm_msg_mention *m)
{
    const struct nm_project_augmentation *how = d->s->parts.how;
    const size_t type = nm_entities_type_find(d->s->parts.entities, m->type.ptr, m->type.len);
    if (nm_mention_masked(m)) {
        nm_draft_keep(d->draft, m);
        return;
    }
    const struct nm_phrase *frame = draw_frame(d, type);
    if (frame != NULL)
        put_phrase(d, frame->before);
    const struct nm_str name = put_mention(d, m, type);
    const double what = nm_rng_unit(d->rng);
    if (what < how->coordinate) {
        if (type != NM_ENTITIES_NONE && d->s->decks[type].n > 0)
            put_row(d, type);
    } else if (what < how->coordinate + how->abbreviate) {
        put_abbreviation(d, type, m, name);
    } else if (what < how->coordinate + how->abbreviate + how->aside) {
        put_aside(d);
    }
    if (frame != NULL)
        put_phrase(d, frame->after);
}

static void draw_decoy(const struct drawing *d, const struct nm_spot *spot)
{
    static const char *const joints[] = {", ", " and ", " or "};
    const struct nm_project_augmentation *how = d->s->parts.how;
    if (happens(d, how->decoy_share)) {
        put_decoy(d);
        nm_draft_skip(d->draft, spot->end);
    } else {
        nm_draft_copy(d->draft, spot->end);
    }
    if (happens(d, of_decoys * how->coordinate)) {
        put(d, joints[nm_rng_below(d->rng, 3)]);
        put_decoy(d);
    } else if (happens(d, how->aside)) {
        put_aside(d);
    }
}

enum nm_err nm_surface_copy(struct nm_surface *surface, const struct nm_msg_sample *sample, struct nm_rng *rng,
                            struct nm_arena *arena, struct nm_msg_sample *out)
{
    const struct drawing d = {surface, &surface->draft, rng};
    const double aside = surface->parts.how->aside;
    struct nm_spot *spots;
    size_t n;
    enum nm_err err = nm_spots_find(&surface->terms, sample, arena, &spots, &n);
    if (err != NM_OK)
        return err;
    nm_draft_begin(d.draft, sample);
    for (size_t i = 0; i < n; i++) {
        nm_draft_copy(d.draft, spots[i].start);
        if (spots[i].kind == NM_SPOT_MENTION)
            draw_mention(&d, spots[i].mention);
        else if (spots[i].kind == NM_SPOT_DECOY)
            draw_decoy(&d, &spots[i]);
        else if (happens(&d, aside * (spots[i].kind == NM_SPOT_STOP ? at_stop : at_comma)))
            put_aside(&d);
    }
    return nm_draft_end(d.draft, arena, out);
}

enum nm_err nm_surface_shield(struct nm_surface *surface, struct nm_msg_sample *sample, struct nm_arena *room,
                              struct nm_arena *arena)
{
    return nm_spots_shield(&surface->terms, sample, room, arena, &surface->counts.shielded);
}

/* ---- making one ------------------------------------------------------------------------------------------------ */

/* The error, in words if it has none yet. */
static enum nm_err said(enum nm_err err, struct nm_diag *diag)
{
    return err == NM_OK || diag->text[0] != '\0' ? err : nm_fail(diag, err, "augment: %s", nm_err_name(err));
}

static enum nm_err read_files(struct nm_surface *s, struct nm_diag *diag)
{
    const struct nm_project_augmentation *how = s->parts.how;
    enum nm_err err = NM_OK;
    if (how->decoys != NULL) {
        s->decoys = nm_entities_new();
        err = s->decoys != NULL ? nm_entities_load(s->decoys, "decoy", how->decoys, diag) : NM_ENOMEM;
    }
    if (err == NM_OK && how->asides != NULL)
        err = nm_phrases_load(&s->phrases, how->asides, s->parts.entities, diag);
    return err;
}

/* Those that are on no list. */
static enum nm_err keep_decoys(struct nm_surface *s)
{
    const struct nm_surface_parts *parts = &s->parts;
    const size_t n = nm_entities_count(s->decoys);
    size_t kept = 0;
    s->kept = malloc((n + 1) * sizeof *s->kept);
    enum nm_err err = s->kept != NULL ? NM_OK : NM_ENOMEM;
    for (size_t i = 0; i < n && err == NM_OK; i++) {
        const struct nm_entity *decoy = nm_entities_get(s->decoys, i);
        if (nm_entities_find(parts->entities, NM_ENTITIES_ANY, decoy->text, decoy->len) != NM_ENTITIES_NONE) {
            s->counts.listed++;
            continue;
        }
        s->kept[kept++] = i;
        err = nm_terms_add(&s->terms, parts->tokenizer, decoy->text, decoy->len);
    }
    return err == NM_OK ? nm_deck_init(&s->decoy_deck, kept, nm_mix64(parts->seed)) : err;
}

static enum nm_err make_decks(struct nm_surface *s)
{
    const size_t n = nm_entities_type_count(s->parts.entities);
    enum nm_err err = NM_OK;
    s->decks = calloc(n + 1, sizeof *s->decks);
    if (s->decks == NULL)
        return NM_ENOMEM;
    for (size_t i = 0; i < n && err == NM_OK; i++)
        err = nm_deck_init(&s->decks[i], s->parts.names[i].n, nm_mix64(s->parts.seed) + i + 1);
    return err;
}

enum nm_err nm_surface_new(const struct nm_surface_parts *parts, struct nm_surface **surface, struct nm_diag *diag)
{
    struct nm_surface *s = *surface = calloc(1, sizeof *s);
    if (s == NULL)
        return nm_fail(diag, NM_ENOMEM, "augment: out of memory");
    s->parts = *parts;
    nm_buf_init(&s->word, 1 << 20);
    nm_draft_init(&s->draft, parts->tokenizer);
    diag->text[0] = '\0';
    enum nm_err err = read_files(s, diag);
    if (err == NM_OK)
        err = make_decks(s);
    if (err == NM_OK && s->decoys != NULL)
        err = keep_decoys(s);
    if (err != NM_OK)
        nm_surface_destroy(surface);
    return said(err, diag);
}

enum nm_err nm_surface_check(const struct nm_project *project, const char *path, const struct nm_entities *entities,
                             struct nm_diag *diag)
{
    struct nm_augmentation_files files;
    struct nm_project_augmentation how;
    struct nm_surface s = {.parts = {.how = &how, .entities = entities}};
    diag->text[0] = '\0';
    enum nm_err err = nm_project_augmentation_open(project, path, &files, &how, diag);
    if (err == NM_OK)
        err = read_files(&s, diag);
    nm_entities_destroy(&s.decoys);
    nm_phrases_clean_up(&s.phrases);
    return said(err, diag);
}

void nm_surface_destroy(struct nm_surface **surface)
{
    struct nm_surface *s = *surface;
    if (s == NULL)
        return;
    for (size_t i = 0; s->decks != NULL && i < nm_entities_type_count(s->parts.entities); i++)
        nm_deck_clean_up(&s->decks[i]);
    free(s->decks);
    nm_deck_clean_up(&s->decoy_deck);
    nm_terms_clean_up(&s->terms);
    nm_entities_destroy(&s->decoys);
    free(s->kept);
    nm_phrases_clean_up(&s->phrases);
    nm_draft_clean_up(&s->draft);
    nm_buf_clean_up(&s->word);
    free(s);
    *surface = NULL;
}

const struct nm_surface_counts *nm_surface_counts(const struct nm_surface *surface)
{
    return &surface->counts;
}
