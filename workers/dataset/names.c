#include "workers/dataset/names.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/utf8.h"
#include "schemas/entities.h"
#include "workers/aligner/array.h"
#include "workers/aligner/matcher.h"
#include "workers/dataset/names_parts.h"

enum { BRIEF = 3, NORMAL_BYTES = 1 << 16 };

/* Work space of reading the corpus. */
struct collecting {
    struct nm_names *names;
    struct nm_tokens tokens;
    struct nm_buf text, key;
};

static enum nm_err find_type(struct nm_names *names, struct nm_str name, size_t *type)
{
    for (*type = 0; *type < names->n_types; ++*type)
        if (strlen(names->types[*type].name) == name.len && memcmp(names->types[*type].name, name.ptr, name.len) == 0)
            return NM_OK;
    struct name_type *types = nm_array_grow(names->types, &names->types_cap, names->n_types + 1, sizeof *types);
    if (types == NULL)
        return NM_ENOMEM;
    names->types = types;
    types[names->n_types] = (struct name_type){.name = nm_arena_strndup(&names->arena, name.ptr, name.len)};
    return types[names->n_types++].name != NULL ? NM_OK : NM_ENOMEM;
}

/* The folded forms of the words of c->text, a line each, into c->key. */
static enum nm_err make_key(struct collecting *c)
{
    nm_buf_reset(&c->key);
    enum nm_err err = nm_tokenize(nm_buf_str(&c->text), c->text.len, &c->tokens);
    for (size_t i = 0; i < c->tokens.count && err == NM_OK; i++) {
        const struct nm_token *t = &c->tokens.v[i];
        err = nm_form(nm_buf_str(&c->text) + t->start, t->end - t->start, true, &c->key);
        if (err == NM_OK)
            err = nm_buf_addc(&c->key, '\n');
    }
    return err;
}

static enum nm_err add_form(struct collecting *c, size_t type)
{
    struct nm_names *names = c->names;
    enum nm_err err = make_key(c);
    if (err != NM_OK)
        return err;
    if (c->key.len == 0) {
        names->unlistable++;
        return NM_OK;
    }
    struct name_form *forms = nm_array_grow(names->forms, &names->forms_cap, names->n_forms + 1, sizeof *forms);
    if (forms == NULL)
        return NM_ENOMEM;
    names->forms = forms;
    struct name_form form = {.text = nm_arena_strndup(&names->arena, c->text.data, c->text.len),
                             .key = nm_arena_strndup(&names->arena, c->key.data, c->key.len),
                             .len = c->text.len,
                             .type = type,
                             .brief = nm_utf8_length(c->text.data, c->text.len) <= BRIEF};
    if (form.text == NULL || form.key == NULL)
        return NM_ENOMEM;
    err = nm_matcher_is_cased(form.text, form.len, &form.cased);
    forms[names->n_forms++] = form;
    return err;
}

/* One more mention: the text as a list would hold it, counted under its type. */
static enum nm_err add_mention(struct collecting *c, struct nm_str text, struct nm_str type_name)
{
    struct nm_names *names = c->names;
    size_t type;
    enum nm_err err = find_type(names, type_name, &type);
    if (err != NM_OK)
        return err;
    names->types[type].mentions++;
    err = nm_entities_normal(text.ptr, text.len, &c->text);
    if (err == NM_ELIMIT || (err == NM_OK && (c->text.len == 0 || c->text.data[0] == '#'))) {
        names->unlistable++;
        return NM_OK;
    }
    if (err != NM_OK)
        return err;
    uint64_t *number = nm_tally_at(&names->known, nm_hash64(c->text.data, c->text.len, type));
    if (number == NULL)
        return NM_ENOMEM;
    if (*number == 0) {
        size_t before = names->n_forms;
        err = add_form(c, type);
        if (err != NM_OK || names->n_forms == before)
            return err;
        *number = names->n_forms;
    }
    names->forms[*number - 1].count++;
    return NM_OK;
}

static enum nm_err collect(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    struct collecting *c = ctx;
    const struct nm_msg_sample *sample = &record->sample;
    enum nm_err err = nm_heldout_note(c->names->heldout, sample->text, diag);
    if (err != NM_OK)
        return err;
    for (size_t i = 0; i < sample->n_mentions && err == NM_OK; i++) {
        const struct nm_msg_mention *m = &sample->mentions[i];
        if (!nm_mention_masked(m))
            err = add_mention(c, (struct nm_str){sample->text.ptr + m->start, m->end - m->start}, m->type);
    }
    return err == NM_OK
               ? NM_OK
               : nm_fail(diag, err, "%s: a mention cannot be counted: %s", record->source.ptr, nm_err_name(err));
}

static enum nm_err read_corpus(struct nm_names *names, struct nm_diag *diag)
{
    struct collecting c = {.names = names};
    nm_tokens_init(&c.tokens);
    nm_buf_init(&c.text, NORMAL_BYTES);
    nm_buf_init(&c.key, NORMAL_BYTES);
    enum nm_err err = nm_import_read(&names->options->from, collect, &c, &names->counts, diag);
    nm_tokens_clean_up(&c.tokens);
    nm_buf_clean_up(&c.text);
    nm_buf_clean_up(&c.key);
    if (err == NM_OK)
        err = nm_heldout_check(names->heldout, names->options->from.path, diag);
    return err == NM_OK && names->n_forms == 0
               ? nm_fail(diag, NM_EFORMAT, "%s: nothing in it has a label", names->options->from.path)
               : err;
}

/* Which types are listed: those that the options name, or all. */
static enum nm_err choose_types(struct nm_names *names, struct nm_diag *diag)
{
    const struct nm_names_options *o = names->options;
    for (size_t i = 0; i < names->n_types; i++)
        names->types[i].listed = o->n_types == 0;
    for (size_t k = 0; k < o->n_types; k++) {
        bool found = false;
        for (size_t i = 0; i < names->n_types; i++)
            if (strcmp(names->types[i].name, o->types[k]) == 0)
                names->types[i].listed = found = true;
        if (!found)
            return nm_fail(diag, NM_EINVAL, "%s has no mention of the type %s; the first that it has is %s",
                           o->from.path, o->types[k], names->types[0].name);
    }
    return NM_OK;
}

static enum nm_err make(struct nm_names *names, struct nm_diag *diag)
{
    const struct nm_names_options *o = names->options;
    enum nm_err err = names->heldout != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (strcmp(o->from.path, "-") == 0)
        return nm_fail(diag, NM_EINVAL, "the corpus is read twice: name a file");
    for (size_t i = 0; i < o->n_unseen && err == NM_OK; i++)
        err = nm_heldout_add(names->heldout, o->unseen[i], diag);
    if (err == NM_OK)
        err = read_corpus(names, diag);
    if (err == NM_OK)
        err = choose_types(names, diag);
    if (err == NM_OK && names_fold(names) != NM_OK)
        err = nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK)
        err = names_check(names, diag);
    if (err == NM_OK && names_draw(names) != NM_OK)
        err = nm_fail(diag, NM_ENOMEM, "out of memory");
    return err;
}

enum nm_err nm_names_make(const struct nm_names_options *options, struct nm_names **out, struct nm_diag *diag)
{
    struct nm_names_options own = *options;
    struct nm_names *names = calloc(1, sizeof *names);
    *out = NULL;
    if (names == NULL)
        return nm_fail(diag, NM_ENOMEM, "out of memory");
    own.from.natural = true;
    names->options = &own;
    names->source = own.from.path;
    names->budget = own.budget;
    names->seed = own.seed;
    names->hygiene = own.hygiene;
    nm_arena_init(&names->arena, 0);
    names->heldout = nm_heldout_new();
    enum nm_err err = make(names, diag);
    names->options = NULL;
    if (err != NM_OK)
        nm_names_destroy(&names);
    *out = names;
    return err;
}

void nm_names_destroy(struct nm_names **names)
{
    struct nm_names *n = *names;
    if (n == NULL)
        return;
    nm_heldout_destroy(&n->heldout);
    nm_tally_clean_up(&n->known);
    free(n->types);
    free(n->forms);
    free(n->clashes);
    free(n->v);
    nm_arena_clean_up(&n->arena);
    free(n);
    *names = NULL;
}

const struct nm_name *nm_names_list(const struct nm_names *names, size_t *n)
{
    *n = names->n;
    return names->v;
}

const char *nm_names_type(const struct nm_names *names, size_t type)
{
    return names->types[type].name;
}

const char *nm_name_fault_text(enum nm_name_fault fault)
{
    static const char *const texts[] = {"", "no letter", "unlabelled", "word"};
    return texts[fault];
}
