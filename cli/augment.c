/* augment.c - nermill augment: mention replacement, and the surface form of real text. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/lists.h"
#include "common/file.h"
#include "workers/dataset/augment.h"
#include "workers/dataset/export.h"

static const char text[] =
    "OUT has FILE's sentences and, behind them, the copies, in which mentions are other names of their list, at "
    "least\n"
    "one of them, cut into words as FILE's words are.  Copies like a sentence already there are left out.\n"
    "Source: Dai and Adel 2020, mention replacement.\n"
    "\n"
    "--surface, and every option below it, gives the copies the surface form of real text: around mentions asides\n"
    "(\"(n = 12)\"), rows (\"A, B and C\", \"A/B\"), short forms in parentheses, frames (\"acute *\"); decoys are\n"
    "others, and a mention that is a part of a longer decoy is none.  docs/datasets.md has the forms of both files.\n"
    "\n"
    "The same seed, lists and FILE give the same copies; those of --copies N are among those of N + 1.\n";

/* What the command line said: of a share NULL where it did not. */
struct said {
    struct nm_texts lists;
    const char *project, *share, *coordinate, *abbreviate, *aside, *frame, *decoy_share, *asides, *decoys;
    uint64_t copies, seed; /* UINT64_MAX: not said */
    bool surface;
};

struct augmenting {
    struct nm_augment augment;
    struct nm_project_augmentation how;
    struct nm_project *project;
    struct nm_augmentation_files files;
};

/* ---- settings -------------------------------------------------------------------------------------------------- */

/* The project's section, as the command line then changes it. */
static enum nm_err take_project(struct augmenting *a, const struct said *said, struct nm_diag *diag)
{
    enum nm_err err = nm_project_load(said->project, &a->project, diag);
    if (err != NM_OK)
        return err;
    a->augment.seed = a->project->seed;
    return nm_project_augmentation_open(a->project, said->project, &a->files, &a->how, diag);
}

static enum nm_err take_share(const char *option, const char *said, double *share, struct nm_diag *diag)
{
    return said == NULL || nm_opts_share(said, share)
               ? NM_OK
               : nm_fail(diag, NM_EINVAL, "--%s takes a number from 0 to 1", option);
}

static enum nm_err take_shares(struct augmenting *a, const struct said *said, struct nm_diag *diag)
{
    const struct {
        const char *option, *said;
        double *share;
    } all[] = {{"share", said->share, &a->how.share},
               {"coordinate", said->coordinate, &a->how.coordinate},
               {"abbreviate", said->abbreviate, &a->how.abbreviate},
               {"aside", said->aside, &a->how.aside},
               {"frame", said->frame, &a->how.frame},
               {"decoy-share", said->decoy_share, &a->how.decoy_share}};
    enum nm_err err = NM_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && err == NM_OK; i++) {
        err = take_share(all[i].option, all[i].said, all[i].share, diag);
        a->how.wanted = a->how.wanted || (i > 0 && all[i].said != NULL);
    }
    return err;
}

static enum nm_err settings(struct augmenting *a, const struct said *said, struct nm_diag *diag)
{
    a->how = nm_project_augmentation_default();
    a->augment.seed = 1;
    enum nm_err err = said->project != NULL ? take_project(a, said, diag) : NM_OK;
    if (err != NM_OK)
        return err;
    a->how.wanted = said->project != NULL || said->surface || said->asides != NULL || said->decoys != NULL;
    if (said->asides != NULL)
        a->how.asides = (char *)said->asides;
    if (said->decoys != NULL)
        a->how.decoys = (char *)said->decoys;
    err = take_shares(a, said, diag);
    if (err == NM_OK && a->how.wanted && !nm_project_augmentation_fits(&a->how))
        err = nm_fail(diag, NM_EINVAL,
                      "--coordinate, --abbreviate and --aside are more than 1 together: at most one of them happens "
                      "behind a mention");
    if (!a->how.wanted) {
        a->augment.share = 0.5;
        err = err == NM_OK ? take_share("share", said->share, &a->augment.share, diag) : err;
    }
    a->augment.surface = a->how.wanted ? &a->how : NULL;
    a->augment.copies = said->copies != UINT64_MAX ? said->copies : a->how.wanted ? a->how.copies : 1;
    if (said->seed != UINT64_MAX)
        a->augment.seed = said->seed;
    return err;
}

/* ---- the work -------------------------------------------------------------------------------------------------- */

static void say(const struct nm_augment *augment)
{
    const struct nm_augment_counts *c = &augment->counts;
    const struct nm_surface_counts *s = &c->surface;
    fprintf(stderr,
            "%" PRIu64 " sentences and %" PRIu64 " copies, with %" PRIu64 " mentions replaced; %" PRIu64
            " more were like others\n",
            c->sentences, c->copies, c->replaced + s->replaced, c->repeated);
    if (augment->surface == NULL)
        return;
    fprintf(stderr,
            "%" PRIu64 " mentions beside others, %" PRIu64 " short forms, %" PRIu64 " asides, %" PRIu64
            " frames, %" PRIu64 " decoys\n",
            s->added, s->abbreviated, s->asides, s->framed, s->decoys);
    if (s->shielded > 0)
        fprintf(stderr, "%" PRIu64 " mentions are none: each is a part of a longer decoy\n", s->shielded);
    if (s->listed > 0)
        fprintf(stderr, "%s: %" PRIu64 " terms are left out: they are on an entity list\n", augment->surface->decoys,
                s->listed);
}

static enum nm_err run(struct augmenting *a, const struct said *said, const struct nm_format *writer, const char *out,
                       struct nm_diag *diag)
{
    struct nm_entities *entities = NULL;
    struct nm_augment *augment = &a->augment;
    uint64_t written;
    enum nm_err err = settings(a, said, diag);
    if (err == NM_OK && said->project != NULL && said->lists.n == 0)
        err = nm_project_entities(a->project, said->project, &entities, diag);
    else if (err == NM_OK)
        err = nm_lists_load(&said->lists, &entities, diag);
    augment->entities = entities;
    if (err == NM_OK)
        err = nm_export_records(nm_augment_read, &augment, writer, out, &written, diag);
    if (err == NM_OK)
        say(augment);
    nm_entities_destroy(&entities);
    nm_project_destroy(&a->project);
    return err;
}

int nm_command_augment(int argc, char **argv)
{
    struct augmenting a = {.project = NULL};
    struct said said = {.copies = UINT64_MAX, .seed = UINT64_MAX};
    const char *to = "conll", *out = NULL;
    const struct nm_opt opts[] = {
        {'e', "entities", NM_OPT_TEXTS, &said.lists, "TYPE=LIST", NM_LISTS_HELP},
        {'n', "copies", NM_OPT_COUNT, &said.copies, "N", "of each sentence (default: 1; with --surface 5)"},
        {0, "share", NM_OPT_TEXT, &said.share, "P",
         "with which probability a mention is replaced (default: 0.5; with --surface 0.8)"},
        {0, "seed", NM_OPT_COUNT, &said.seed, "N", "another one draws others (default: 1)"},
        {'f', "format", NM_OPT_TEXT, &a.augment.from.format, "FORMAT",
         "what FILE ('-': standard input) is, as for nermill import"},
        {'t', "to", NM_OPT_TEXT, &to, "FORMAT", "conll (default), jsonl or another file of nermill export"},
        {'o', "out", NM_OPT_TEXT, &out, "OUT", "write there (default: standard output)"},
        {0, "surface", NM_OPT_FLAG, &said.surface, NULL, "the surface form of real text, too"},
        {0, "asides", NM_OPT_TEXT, &said.asides, "FILE", "phrases that name no entity, and frames, one a line"},
        {0, "decoys", NM_OPT_TEXT, &said.decoys, "FILE", "terms that look like entities and are none, one a line"},
        {0, "coordinate", NM_OPT_TEXT, &said.coordinate, "P", "mentions in a row with others (default: 0.25)"},
        {0, "abbreviate", NM_OPT_TEXT, &said.abbreviate, "P", "mentions with a short form behind (default: 0.1)"},
        {0, "aside", NM_OPT_TEXT, &said.aside, "P", "mentions and decoys with an aside behind (default: 0.25)"},
        {0, "frame", NM_OPT_TEXT, &said.frame, "P", "mentions in a frame (default: 0.15)"},
        {0, "decoy-share", NM_OPT_TEXT, &said.decoy_share, "P", "decoys that are replaced (default: 0.8)"},
        {0, "project", NM_OPT_TEXT, &said.project, "PROJECT", "its section augmentation, seed and lists instead"},
    };
    const struct nm_command command = {
        .name = "augment",
        .usage = "FILE --entities TYPE=LIST... [--copies N] [--surface] [--seed N] [--out OUT.conll]",
        .summary = "More labelled sentences out of few: other names, and the surface form of real text.",
        .text = text,
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    struct nm_diag diag = {""};
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    const struct nm_format *writer = nm_format_find_stream(to);
    if (writer == NULL)
        return nm_complain_usage("augment", "--to takes " NM_FORMAT_STREAMS);
    a.augment.from.path = argv[1];
    enum nm_err err = run(&a, &said, writer, out, &diag);
    if (err == NM_EINVAL)
        return nm_complain_usage("augment", diag.text);
    return err == NM_OK ? NM_EXIT_OK : nm_complain("augment", err, &diag);
}
