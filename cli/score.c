#include "cli/score.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "schemas/project.h"
#include "workers/aligner/conll.h"
#include "workers/aligner/write_sample.h"
#include "workers/dataset/dictionary.h"

/* The sums in the trainer's JSON. */
static enum nm_err read_score(const char *text, struct nm_score *score, struct nm_diag *diag)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *f1 = json_object_get(root, "f1");
    score->precision = json_number_value(json_object_get(root, "precision"));
    score->recall = json_number_value(json_object_get(root, "recall"));
    score->f1 = json_number_value(f1);
    enum nm_err err = json_is_number(f1) ? NM_OK : NM_EFORMAT;
    json_decref(root);
    return err == NM_OK ? NM_OK
                        : nm_fail(diag, err, "nermill-trainer printed no score; are the programs of one version?");
}

/* ---- tags beside gold ----------------------------------------------------------------------------------------- */

static bool same(struct nm_str a, struct nm_str b)
{
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* "word TAB gold TAB tag" to out; the sentences end where gold's do. */
static enum nm_err beside(const struct nm_conll *gold, const struct nm_conll *tagged, const char *name, FILE *out,
                          struct nm_diag *diag)
{
    bool as_many = gold->n_tokens == tagged->n_tokens;
    for (size_t s = 0; s < gold->n_sentences && as_many; s++) {
        const struct nm_conll_sentence *sentence = &gold->sentences[s];
        for (size_t i = sentence->first; i < sentence->first + sentence->n; i++) {
            const struct nm_conll_token *g = &gold->tokens[i], *t = &tagged->tokens[i];
            if (!same(g->text, t->text))
                return nm_fail(diag, NM_EFORMAT, "%s has \"%.*s\" where gold's sentence at line %zu has \"%.*s\"",
                               name, (int)t->text.len, t->text.ptr, sentence->line, (int)g->text.len, g->text.ptr);
            fprintf(out, "%.*s\t%.*s\t%.*s\n", (int)g->text.len, g->text.ptr, (int)g->tag.len, g->tag.ptr,
                    (int)t->tag.len, t->tag.ptr);
        }
        fputc('\n', out);
    }
    if (!as_many)
        return nm_fail(diag, NM_EFORMAT, "%s has %zu words, gold %zu", name, tagged->n_tokens, gold->n_tokens);
    return ferror(out) == 0 ? NM_OK : nm_fail(diag, NM_EIO, "cannot write to a temporary file");
}

static enum nm_err count(FILE *columns, struct nm_buf *json, int *code, struct nm_diag *diag)
{
    const char *const argv[] = {"nermill-trainer", "score", "/dev/stdin", "--json", NULL};
    if (fseek(columns, 0, SEEK_SET) != 0)
        return nm_fail(diag, NM_EIO, "a temporary file: %s", strerror(errno));
    return nm_process_capture_from(fileno(columns), argv, json, code, diag);
}

static enum nm_err score(const struct nm_conll *tagged, const char *name, const char *gold_path, struct nm_buf *json,
                         struct nm_score *score, int *code, struct nm_diag *diag)
{
    struct nm_conll gold;
    FILE *columns = tmpfile();
    nm_conll_init(&gold);
    enum nm_err err =
        columns != NULL ? NM_OK : nm_fail(diag, nm_err_from_errno(errno), "no temporary file: %s", strerror(errno));
    if (err == NM_OK)
        err = nm_conll_read(&gold, gold_path, diag);
    if (err == NM_OK)
        err = beside(&gold, tagged, name, columns, diag);
    if (err == NM_OK)
        err = count(columns, json, code, diag);
    if (err == NM_OK && *code == 0)
        err = read_score(nm_buf_str(json), score, diag);
    nm_conll_clean_up(&gold);
    if (columns != NULL)
        fclose(columns);
    return err;
}

enum nm_err nm_score_tagged(const char *path, const char *gold, struct nm_buf *json, struct nm_score *sums, int *code,
                            struct nm_diag *diag)
{
    struct nm_conll tagged;
    *code = 0;
    nm_conll_init(&tagged);
    enum nm_err err = nm_conll_read(&tagged, path, diag);
    if (err == NM_OK)
        err = score(&tagged, path, gold, json, sums, code, diag);
    nm_conll_clean_up(&tagged);
    return err;
}

/* ---- the dictionary ------------------------------------------------------------------------------------------- */

static enum nm_err add_record(void *ctx, const struct nm_record *record, struct nm_diag *diag)
{
    enum nm_err err = nm_write_conll(&record->sample, ctx);
    return err == NM_OK ? NM_OK : nm_fail(diag, err, "%s: %s", record->source.ptr, nm_err_name(err));
}

static enum nm_err match(const struct nm_entities *entities, const char *gold, struct nm_buf *tagged,
                         struct nm_diag *diag)
{
    struct nm_dictionary dictionary = {.entities = entities, .from = {.path = gold, .format = "conll"}};
    struct nm_dictionary *from = &dictionary;
    return nm_dictionary_read(&from, add_record, tagged, diag);
}

enum nm_err nm_score_dictionary(const char *project_path, const char *gold, struct nm_buf *json,
                                struct nm_score *sums, int *code, struct nm_diag *diag)
{
    struct nm_project *project = NULL;
    struct nm_entities *entities = NULL;
    struct nm_conll tagged;
    struct nm_buf text;
    *code = 0;
    nm_conll_init(&tagged);
    nm_buf_init(&text, (size_t)1 << 30);
    enum nm_err err = nm_project_load(project_path, &project, diag);
    if (err == NM_OK)
        err = nm_project_entities(project, project_path, &entities, diag);
    if (err == NM_OK)
        err = match(entities, gold, &text, diag);
    if (err == NM_OK)
        err = nm_conll_parse(&tagged, nm_buf_str(&text), text.len, gold, diag);
    if (err == NM_OK)
        err = score(&tagged, gold, gold, json, sums, code, diag);
    nm_conll_clean_up(&tagged);
    nm_buf_clean_up(&text);
    nm_entities_destroy(&entities);
    nm_project_destroy(&project);
    return err;
}

/* ---- a model -------------------------------------------------------------------------------------------------- */

enum nm_err nm_score_model(const char *model, const char *gold, struct nm_buf *json, struct nm_score *score,
                           int *code, struct nm_diag *diag)
{
    const char *const argv[] = {"nermill-trainer", "evaluate", "--model", model, "--gold", gold, "--json", NULL};
    *code = 0;
    enum nm_err err = nm_process_capture(argv, json, code, diag);
    if (err == NM_OK && *code == 0)
        err = read_score(nm_buf_str(json), score, diag);
    return err;
}
