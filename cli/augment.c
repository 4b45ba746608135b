/* augment.c - nermill augment: mention replacement. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/lists.h"
#include "workers/dataset/augment.h"
#include "workers/dataset/export.h"

static const char text[] =
    "OUT has FILE's sentences and, behind them, the copies.  Of each copy at least one mention is another name of "
    "its\n"
    "list, cut into words as FILE's words are; copies that come out like a sentence already there are left out.\n"
    "The same seed, lists and FILE give the same copies; those of --copies N are among those of N + 1.\n"
    "Source: Dai and Adel 2020, mention replacement.\n";

static int run(struct nm_augment *augment, const struct nm_texts *lists, const struct nm_format *writer,
               const char *out)
{
    struct nm_diag diag = {""};
    struct nm_entities *entities;
    uint64_t written;
    enum nm_err err = nm_lists_load(lists, &entities, &diag);
    augment->entities = entities;
    if (err == NM_OK)
        err = nm_export_records(nm_augment_read, &augment, writer, out, &written, &diag);
    nm_entities_destroy(&entities);
    if (err == NM_EINVAL)
        return nm_complain_usage("augment", diag.text);
    if (err != NM_OK)
        return nm_complain("augment", err, &diag);
    fprintf(stderr,
            "%" PRIu64 " sentences and %" PRIu64 " copies, with %" PRIu64 " mentions replaced; %" PRIu64
            " more were like others\n",
            augment->counts.sentences, augment->counts.copies, augment->counts.replaced, augment->counts.repeated);
    return NM_EXIT_OK;
}

int nm_command_augment(int argc, char **argv)
{
    struct nm_augment augment = {.copies = 1, .seed = 1};
    struct nm_texts lists = {.n = 0};
    const char *to = "conll", *out = NULL, *share = "0.5";
    const struct nm_opt opts[] = {
        {'e', "entities", NM_OPT_TEXTS, &lists, "TYPE=LIST", NM_LISTS_HELP},
        {'n', "copies", NM_OPT_COUNT, &augment.copies, "N", "of each sentence with a mention (default: 1)"},
        {0, "share", NM_OPT_TEXT, &share, "P", "with which probability a mention is replaced (default: 0.5)"},
        {0, "seed", NM_OPT_COUNT, &augment.seed, "N", "another one draws others (default: 1)"},
        {'f', "format", NM_OPT_TEXT, &augment.from.format, "FORMAT", "what FILE is, as for nermill import"},
        {'t', "to", NM_OPT_TEXT, &to, "FORMAT", "conll (default), jsonl or another file of nermill export"},
        {'o', "out", NM_OPT_TEXT, &out, "OUT", "write there (default: standard output)"},
    };
    const struct nm_command command = {
        .name = "augment",
        .usage = "FILE --entities TYPE=LIST... [--copies N] [--share P] [--seed N] [--out OUT.conll]",
        .summary = "More labelled sentences out of few: mentions replaced by other names of their type.",
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
        return nm_complain_usage("augment", "--to takes " NM_FORMAT_STREAMS);
    if (!nm_opts_share(share, &augment.share))
        return nm_complain_usage("augment", "--share takes a number from 0 to 1");
    augment.from.path = argv[1];
    return run(&augment, &lists, writer, out);
}
