/* entities.c - nermill entities: the entity lists of a corpus. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "workers/dataset/names.h"

static const char text[] =
    "Writes DIR/TYPE.txt, a name a line, the most frequent first, and DIR/entities.json: how many there are, what\n"
    "was drawn, which names were of two types, which are ambiguous and why.\n"
    "Names are in natural spelling (\"propylthio-uracil\", not \"propylthio - uracil\"); spellings that differ in\n"
    "case alone are one name; a name of two types is of that which has two thirds of its mentions, or left out.\n"
    "A budget is drawn from the types in proportion, from frequent and rare names alike; the K names of a seed are\n"
    "among its K + 1.\n"
    "A name is ambiguous where CORPUS has it more often without a label than with one (\"unlabelled\"; in other\n"
    "case, as in ALL and all: \"word\"), or where it holds no letter.\n";

static void say(const struct nm_names *names, const char *dir, uint64_t budget)
{
    size_t n, drawn = 0, faults = 0;
    const struct nm_name *v = nm_names_list(names, &n);
    for (size_t i = 0; i < n; i++) {
        drawn += v[i].drawn;
        faults += v[i].fault != NM_NAME_GOOD;
    }
    fprintf(stderr, "%zu names in %s", drawn, dir);
    for (size_t i = 0; i < n;) {
        size_t type = v[i].type, of_type = 0;
        for (; i < n && v[i].type == type; i++)
            of_type += v[i].drawn;
        if (of_type > 0)
            fprintf(stderr, ", %s %zu", nm_names_type(names, type), of_type);
    }
    fprintf(stderr, "; %zu ambiguous\n", faults);
    if (drawn < budget)
        fprintf(stderr, "nermill entities: there are no more than %zu names for a budget of %" PRIu64 "\n", drawn,
                budget);
}

int nm_command_entities(int argc, char **argv)
{
    struct nm_names_options o = {.seed = 1};
    struct nm_texts types = {.n = 0}, unseen = {.n = 0};
    const char *out = NULL;
    const struct nm_opt opts[] = {
        {'o', "out", NM_OPT_TEXT, &out, "DIR", "gets the lists; needed"},
        {'t', "type", NM_OPT_TEXTS, &types, "TYPE", "list this one; may be given again (default: all)"},
        {'b', "budget", NM_OPT_COUNT, &o.budget, "K", "draw K names, by type and frequency (default: all)"},
        {0, "seed", NM_OPT_COUNT, &o.seed, "N", "of the draw (default: 1)"},
        {0, "hygiene", NM_OPT_FLAG, &o.hygiene, NULL, "leave ambiguous names out"},
        {0, "not", NM_OPT_TEXTS, &unseen, "FILE", "stop if CORPUS is this file or holds its sentences: a test part"},
        {'f', "format", NM_OPT_TEXT, &o.from.format, "FORMAT", "what CORPUS is, as for nermill import"},
        {'a', "annotations", NM_OPT_TEXT, &o.from.annotations, "FILE", "the mentions (bc4chemd)"},
        {0, "classes", NM_OPT_FLAG, &o.from.classes, NULL, "bc4chemd: FORMULA, TRIVIAL ... as types, not Chemical"},
    };
    const struct nm_command command = {
        .name = "entities",
        .usage = "CORPUS --out DIR [--type TYPE]... [--budget K] [--seed N] [--hygiene] [--not FILE]...",
        .summary = "Entity lists from a labelled corpus (its training part), ready for a project.",
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
    if (out == NULL)
        return nm_complain_usage("entities", "give --out DIR");
    struct nm_diag diag = {""};
    struct nm_names *names;
    o.from.path = argv[1];
    o.types = types.v;
    o.n_types = types.n;
    o.unseen = unseen.v;
    o.n_unseen = unseen.n;
    enum nm_err err = nm_names_make(&o, &names, &diag);
    if (err == NM_OK)
        err = nm_names_write(names, out, &diag);
    if (err == NM_OK)
        say(names, out, o.budget);
    nm_names_destroy(&names);
    return err == NM_OK ? NM_EXIT_OK : nm_complain("entities", err, &diag);
}
