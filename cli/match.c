/* match.c - nermill match: text tagged by entity lists, alone or together with a tagger. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/lists.h"
#include "workers/dataset/dictionary.h"
#include "workers/dataset/export.h"

static const char text[] =
    "Case counts for a name of at most three characters or all in capitals.  At each word the longest name is "
    "taken.\n"
    "Lists are in natural spelling, whatever the tokens of FILE are (\"propylthio - uracil\").\n"
    "FILE is text, a line each, or, where its name ends in .conll, .tsv, .iob or .jsonl, what that says; its own\n"
    "labels do not matter.\n"
    "With --with, the spans of the lists and of a tagger ('nermill predict --format conll --scores'): of those that\n"
    "overlap the lists' stays; --prefer longest: the longest, of equal ones the lists'; tagger: the tagger's.\n"
    "'nermill evaluate --tagged OUT --gold FILE' says how good that is.\n";

static bool ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* What FILE is: as the option says, or as it is named. */
static void choose_form(struct nm_dictionary *d, const char *form)
{
    bool words = ends_in(d->from.path, ".conll") || ends_in(d->from.path, ".tsv") || ends_in(d->from.path, ".iob");
    if (form == NULL)
        form = words ? "conll" : ends_in(d->from.path, ".jsonl") ? "jsonl" : "text";
    d->text = strcmp(form, "text") == 0;
    d->from.format = d->text ? NULL : form;
}

static bool choose_side(const char *name, enum nm_prefer *prefer)
{
    static const char *const names[] = {"longest", "lists", "tagger"};
    for (size_t i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *prefer = (enum nm_prefer)i;
            return true;
        }
    return false;
}

static void say(const struct nm_dictionary *d)
{
    const struct nm_dictionary_counts *c = &d->counts;
    fprintf(stderr, "%" PRIu64 " sentences, %" PRIu64 " spans; %" PRIu64 " of the lists", c->sentences, c->written,
            c->listed);
    if (c->cut > 0)
        fprintf(stderr, " (%" PRIu64 " more inside a token)", c->cut);
    if (d->with != NULL)
        fprintf(stderr,
                ", %" PRIu64 " of the tagger (%" PRIu64 " less sure), %" PRIu64 " of both, %" PRIu64 " gave way",
                c->tagged, c->unsure, c->both, c->dropped);
    fputc('\n', stderr);
}

static int run(struct nm_dictionary *d, const struct nm_texts *lists, const struct nm_format *writer, const char *out)
{
    struct nm_diag diag = {""};
    struct nm_entities *entities;
    uint64_t written;
    enum nm_err err = nm_lists_load(lists, &entities, &diag);
    d->entities = entities;
    if (err == NM_OK)
        err = nm_export_records(nm_dictionary_read, &d, writer, out, &written, &diag);
    if (err == NM_OK)
        say(d);
    nm_entities_destroy(&entities);
    int code = err == NM_OK ? NM_EXIT_OK : nm_complain("match", err, &diag);
    return err == NM_EINVAL ? NM_EXIT_USAGE : code;
}

int nm_command_match(int argc, char **argv)
{
    struct nm_dictionary d = {.prefer = NM_PREFER_LISTS};
    struct nm_texts lists = {.n = 0};
    const char *form = NULL, *to = "conll", *out = NULL, *sure = "0", *prefer = "lists";
    const struct nm_opt opts[] = {
        {'e', "entities", NM_OPT_TEXTS, &lists, "TYPE=LIST", NM_LISTS_HELP},
        {'w', "with", NM_OPT_TEXT, &d.with, "FILE", "what a tagger says of the same words: word, tag, probability"},
        {0, "sure", NM_OPT_TEXT, &sure, "X",
         "of the tagger, only spans whose every word is as probable (default: 0)"},
        {0, "prefer", NM_OPT_TEXT, &prefer, "lists|longest|tagger",
         "which of two overlapping spans stays (default: lists)"},
        {0, "input", NM_OPT_TEXT, &form, "FORM", "text, conll, tdmsci or jsonl (default: by FILE's name)"},
        {'t', "to", NM_OPT_TEXT, &to, "FORMAT", "conll (default), jsonl or another file of nermill export"},
        {'o', "out", NM_OPT_TEXT, &out, "OUT", "write there (default: standard output)"},
    };
    const struct nm_command command = {
        .name = "match",
        .usage = "FILE --entities TYPE=LIST... [--with PREDICTED.conll [--sure X]] [--out OUT.conll]",
        .summary = "Text tagged by entity lists: what a tagger has to beat, or can be joined with.",
        .text = text,
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    const struct nm_format *writer = nm_format_find_stream(to);
    if (writer == NULL)
        return nm_complain_usage("match", "--to takes " NM_FORMAT_STREAMS);
    if (!nm_opts_share(sure, &d.sure))
        return nm_complain_usage("match", "--sure takes a number from 0 to 1");
    if (!choose_side(prefer, &d.prefer))
        return nm_complain_usage("match", "--prefer takes lists, longest or tagger");
    if (d.with == NULL && d.sure > 0)
        return nm_complain_usage("match", "--sure is about what a tagger says: name its file by --with");
    d.from.path = argv[1];
    choose_form(&d, form);
    return run(&d, &lists, writer, out);
}
