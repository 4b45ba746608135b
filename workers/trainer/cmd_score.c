/* cmd_score.c - nermill-trainer score: two columns of tags. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "workers/trainer/commands.h"
#include "workers/trainer/tagset.h"

static const char score_help[] =
    "usage: nermill-trainer score FILE [--seen FILE] [--json]\n"
    "\n"
    "Compares the last two columns of a CoNLL file, gold and predicted, as evaluate does; FILE may be /dev/stdin.\n"
    "\n"
    "  --seen FILE   recall apart for entities that are in it and that are not: labelled sentences, or a list "
    "(.txt)\n"
    "  --json        one JSON object instead of the table\n";

/* The file once as it is (last column) and once without its last column: two readings of the same sentences. */
static enum nm_err without_last_column(const struct nm_buf *in, struct nm_buf *out)
{
    for (size_t i = 0; i < in->len;) {
        const char *line = in->data + i, *newline = memchr(line, '\n', in->len - i);
        size_t len = newline != NULL ? (size_t)(newline - line) : in->len - i, end = len;
        while (end > 0 && strchr(" \t\r", line[end - 1]) != NULL)
            end--;
        while (end > 0 && strchr(" \t", line[end - 1]) == NULL)
            end--;
        while (end > 0 && strchr(" \t", line[end - 1]) != NULL)
            end--;
        enum nm_err err = nm_buf_add(out, line, end);
        if (err == NM_OK)
            err = nm_buf_addc(out, '\n');
        if (err != NM_OK)
            return err;
        i += len + 1;
    }
    return NM_OK;
}

/* Tags of predicted by gold's type numbers; types that only predicted has are added behind. */
static enum nm_err count(const struct nm_corpus *gold, const struct nm_corpus *predicted,
                         const struct nm_known *known, bool json, const char *path, struct nm_diag *diag)
{
    struct nm_tagset set = {0};
    struct nm_evaluation e = {0};
    size_t *types = malloc((predicted->n_types + 1) * sizeof(*types));
    int32_t *tags = malloc((predicted->n_words + 1) * sizeof(*tags));
    enum nm_err err = types != NULL && tags != NULL ? NM_OK : NM_ENOMEM;
    size_t type;
    for (size_t i = 0; i < gold->n_types && err == NM_OK; i++)
        err = nm_tagset_type(&set, gold->types[i], &type);
    for (size_t i = 0; i < predicted->n_types && err == NM_OK; i++)
        err = nm_tagset_type(&set, predicted->types[i], &types[i]);
    if (err == NM_OK)
        err = nm_evaluation_init(&e, set.n_types);
    e.known = known;
    for (size_t s = 0; s < gold->n && err == NM_OK; s++) {
        const struct nm_sentence *p = &predicted->sentences[s];
        for (size_t i = 0; i < p->n; i++) {
            type = nm_tag_is_entity(p->tags[i]) ? types[nm_tag_type(p->tags[i])] : 0;
            tags[i] = nm_tag_with_type(p->tags[i], type);
        }
        err = nm_evaluation_add(&e, &gold->sentences[s], gold->sentences[s].tags, tags, NULL);
    }
    if (err == NM_OK) {
        nm_evaluation_finish(&e);
        nm_command_print_evaluation(&e, set.types, json);
    } else {
        nm_fail(diag, err, "%s: out of memory", path);
    }
    nm_evaluation_clean_up(&e);
    nm_tagset_clean_up(&set);
    free(types);
    free(tags);
    return err;
}

static int score(const char *path, const char *seen, bool json)
{
    struct nm_known known = {0};
    struct nm_diag diag = {""};
    struct nm_buf file, left;
    struct nm_corpus gold, predicted;
    nm_buf_init(&file, 1 << 30);
    nm_buf_init(&left, 1 << 30);
    nm_corpus_init(&gold);
    nm_corpus_init(&predicted);
    enum nm_err err = nm_file_read(path, &file, &diag);
    if (err == NM_OK)
        err = nm_corpus_parse_conll(&predicted, path, nm_buf_str(&file), file.len, true, &diag);
    if (err == NM_OK && without_last_column(&file, &left) != NM_OK)
        err = nm_fail(&diag, NM_ENOMEM, "%s: out of memory", path);
    if (err == NM_OK)
        err = nm_corpus_parse_conll(&gold, path, nm_buf_str(&left), left.len, true, &diag);
    if (err == NM_OK && (gold.n != predicted.n || gold.n_words != predicted.n_words))
        err = nm_fail(&diag, NM_EFORMAT, "%s: not every line has three columns: word, gold tag, predicted tag", path);
    if (err == NM_OK && seen != NULL)
        err = nm_known_add_file(&known, seen, &diag);
    nm_known_close(&known);
    if (err == NM_OK)
        err = count(&gold, &predicted, seen != NULL ? &known : NULL, json, path, &diag);
    nm_known_clean_up(&known);
    nm_corpus_clean_up(&gold);
    nm_corpus_clean_up(&predicted);
    nm_buf_clean_up(&left);
    nm_buf_clean_up(&file);
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("score", err, &diag);
}

int nm_command_score(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"seen", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    bool json = false;
    const char *seen = NULL;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'j')
            json = true;
        else if (o == 's')
            seen = optarg;
        else if (o == 'h') {
            fputs(score_help, stdout);
            return NM_EXIT_OK;
        } else
            return NM_EXIT_USAGE;
    }
    if (optind + 1 != argc)
        return nm_command_usage("score", optind == argc ? "no FILE given" : "more than one FILE");
    return score(argv[optind], seen, json);
}
