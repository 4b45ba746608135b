#include "cli/experiment_cell.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

enum { FILE_BYTES_MAX = 1 << 30 };

const char *nm_exp_eval_name(const struct nm_exp *x)
{
    return x->e->on_test ? "test" : "devel";
}

/* ---- columns --------------------------------------------------------------------------------- */

/* The next line of text that is not empty, without its end; false: there is none. */
static bool next_line(const char **at, const char *end, const char **line, size_t *len)
{
    while (*at < end) {
        const char *stop = memchr(*at, '\n', (size_t)(end - *at));
        stop = stop != NULL ? stop : end;
        *line = *at;
        *len = (size_t)(stop - *at);
        *at = stop + 1;
        if (*len > 0)
            return true;
    }
    return false;
}

/* One line of gold and the same word's of predicted. */
static enum nm_err add_line(struct nm_buf *out, const char *gold, size_t gold_len, const char *tagged,
                            size_t tagged_len)
{
    const char *tab = memrchr(gold, '\t', gold_len), *last = memrchr(tagged, '\t', tagged_len);
    if (tab == NULL || last == NULL)
        return NM_EFORMAT;
    const size_t word = (size_t)(tab - gold);
    if (tagged_len <= word || memcmp(gold, tagged, word) != 0 || tagged[word] != '\t')
        return NM_EFORMAT;
    const size_t tag = tagged_len - (size_t)(last + 1 - tagged);
    return nm_buf_addf(out, "%.*s\t%.*s\n", (int)gold_len, gold, (int)tag, last + 1);
}

static enum nm_err join(const struct nm_exp *x, const struct nm_buf *tagged, struct nm_buf *out)
{
    const char *at = nm_buf_str(tagged), *end = at + tagged->len, *line = NULL;
    size_t len = 0;
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < x->eval.n && err == NM_OK; i++) {
        const char *block = x->eval.at[i].block, *block_end = block + x->eval.at[i].len, *gold;
        size_t gold_len;
        while (err == NM_OK && next_line(&block, block_end, &gold, &gold_len))
            err = next_line(&at, end, &line, &len) ? add_line(out, gold, gold_len, line, len) : NM_EFORMAT;
        if (err == NM_OK)
            err = nm_buf_addc(out, '\n');
    }
    return err == NM_OK && next_line(&at, end, &line, &len) ? NM_EFORMAT : err;
}

enum nm_err nm_exp_cell_columns(const struct nm_exp *x, const struct nm_exp_step *cell, struct nm_diag *diag)
{
    char from[NM_FILE_PATH], to[NM_FILE_PATH];
    struct nm_buf tagged, out;
    nm_buf_init(&tagged, FILE_BYTES_MAX);
    nm_buf_init(&out, FILE_BYTES_MAX);
    enum nm_err err = nm_exp_path(x, "cells", cell->key, ".new", from);
    if (err == NM_OK)
        err = nm_exp_path(x, "cells", cell->key, ".columns", to);
    if (err == NM_OK)
        err = nm_file_read(from, &tagged, diag);
    if (err == NM_OK && (err = join(x, &tagged, &out)) != NM_OK)
        (void)nm_fail(diag, err, "%s: its words are not those of STATE/corpus/%s.conll", from, nm_exp_eval_name(x));
    if (err == NM_OK)
        err = nm_file_write_atomic(to, nm_buf_str(&out), out.len, diag);
    nm_buf_clean_up(&out);
    nm_buf_clean_up(&tagged);
    return err;
}

/* ---- the result ------------------------------------------------------------------------------ */

static json_t *read_json(const struct nm_exp *x, const char *dir, const char *key, const char *suffix)
{
    char path[NM_FILE_PATH];
    return nm_exp_path(x, dir, key, suffix, path) == NM_OK ? json_load_file(path, 0, NULL) : NULL;
}

json_t *nm_exp_cell_read(const struct nm_exp *x, const struct nm_exp_step *cell)
{
    json_t *root = read_json(x, "cells", cell->key, ".json");
    if (json_is_object(json_object_get(root, "scores")))
        return root;
    json_decref(root);
    return NULL;
}

/* What its training took, by the model's own card; of a model that goes on from another one, both. */
static double training_seconds(const struct nm_exp *x, const struct nm_exp_step *cell)
{
    double seconds = 0;
    for (int i = cell->deps[NM_EXP_OF_MODEL]; i >= 0; i = x->steps[i].deps[NM_EXP_OF_MODEL]) {
        json_t *card = read_json(x, "models", x->steps[i].key, "/nermill.json");
        seconds += json_number_value(json_object_get(json_object_get(card, "training"), "seconds"));
        json_decref(card);
    }
    return seconds;
}

enum nm_err nm_exp_cell_finish(const struct nm_exp *x, const struct nm_exp_step *cell, double seconds,
                               struct nm_diag *diag)
{
    static const char *const work[] = {".columns", ".scores", ".tagged"};
    char path[NM_FILE_PATH], label[256];
    json_t *scores = read_json(x, "cells", cell->key, ".scores");
    if (!json_is_number(json_object_get(scores, "f1"))) {
        json_decref(scores);
        return nm_fail(diag, NM_EFORMAT, "cell %s: nermill-trainer score printed no scores", cell->key);
    }
    nm_exp_step_label(x, cell, label, sizeof label);
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:s, s:{s:f, s:f}, s:I, s:o}", "key", cell->key, "cell", label, "method",
                  NM_EXPERIMENT_METHOD, "on", nm_exp_eval_name(x), "seconds", "training", training_seconds(x, cell),
                  "tagging", seconds, "finished_ms", (json_int_t)nm_clock_wall_ms(), "scores", scores);
    char *text = json_dumps(root, JSON_REAL_PRECISION(10) | JSON_INDENT(1));
    enum nm_err err = text != NULL ? nm_exp_path(x, "cells", cell->key, ".json", path) : NM_ENOMEM;
    if (err == NM_OK)
        err = nm_file_write_atomic(path, text, strlen(text), diag);
    for (size_t i = 0; err == NM_OK && i < sizeof work / sizeof *work; i++)
        if (nm_exp_path(x, "cells", cell->key, work[i], path) == NM_OK)
            (void)unlink(path);
    free(text);
    json_decref(root);
    return err;
}
