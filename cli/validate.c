/* validate.c - nermill validate: everything that can be wrong before a run, and what the run would cost. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/place.h"
#include "cli/process.h"
#include "common/file.h"
#include "schemas/project.h"
#include "workers/dataset/surface.h"

/* The estimate's assumptions, which are printed with it. */
static const double accepted_share = 0.7;  /* of answered calls */
static const double prompt_tokens = 300.0; /* instructions and entities */
static const double tokens_per_word = 1.4; /* of English text, in a GPT-like vocabulary */

struct check {
    const char *path; /* PROJECT as given */
    struct nm_place place;
    struct nm_project *project;
    enum nm_err first; /* of all that is wrong, what was found first */
    uint64_t samples;  /* of the goal */
};

static void wrong(struct check *check, enum nm_err err, const struct nm_diag *diag)
{
    (void)nm_complain("validate", err, diag);
    if (check->first == NM_OK)
        check->first = err;
}

/* A goal of coverage alone: as many samples as ask for each entity that often. */
static uint64_t samples_wanted(const struct nm_project *project, size_t entities)
{
    const struct nm_project_generation *g = &project->generation;
    if (project->goal.samples > 0)
        return project->goal.samples;
    double a_sample = (1.0 - g->negatives) * (g->entities.min + g->entities.max) / 2.0;
    return (uint64_t)ceil((double)entities * project->goal.min_per_entity / a_sample);
}

static void check_augmentation(struct check *check, const struct nm_entities *entities)
{
    struct nm_diag diag = {""};
    if (!check->project->augmentation.wanted)
        return;
    enum nm_err err = nm_surface_check(check->project, check->path, entities, &diag);
    if (err != NM_OK)
        wrong(check, err, &diag);
    else
        printf("copies     %u of each sample, with the surface form of real text\n",
               check->project->augmentation.copies);
}

static void check_lists(struct check *check)
{
    struct nm_diag diag = {""};
    struct nm_entities *entities = NULL;
    enum nm_err err = nm_project_entities(check->project, check->path, &entities, &diag);
    if (err != NM_OK) {
        wrong(check, err, &diag);
        return;
    }
    printf("entities   ");
    for (size_t t = 0; t < nm_entities_type_count(entities); t++) {
        size_t count = 0;
        for (size_t i = 0; i < nm_entities_count(entities); i++)
            count += nm_entities_get(entities, i)->type == t;
        printf("%s%s %zu", t > 0 ? ", " : "", nm_entities_type_name(entities, t), count);
    }
    if (nm_entities_duplicates(entities) > 0)
        printf(" (%zu repeated lines count once)", nm_entities_duplicates(entities));
    putchar('\n');
    const struct nm_project_generation *generation = &check->project->generation;
    check->samples = samples_wanted(check->project, nm_entities_count(entities));
    double uses = (double)check->samples * (1.0 - generation->negatives) *
                  (generation->entities.min + generation->entities.max) / 2.0 / (double)nm_entities_count(entities);
    printf("goal       %llu samples, %.0f %% of them without an entity; each entity about %.1f times\n",
           (unsigned long long)check->samples, 100.0 * generation->negatives, uses);
    if (check->project->goal.min_per_entity > 0)
        printf("           and at least %u accepted texts of each entity; given up after %u rejected ones in a row\n",
               check->project->goal.min_per_entity, check->project->goal.give_up);
    check_augmentation(check, entities);
    nm_entities_destroy(&entities);
}

static void check_file(struct check *check, const char *what, const char *file, const char *printed)
{
    char path[NM_PATH_MAX];
    struct nm_diag diag = {""};
    struct nm_buf text;
    nm_buf_init(&text, 256 << 20);
    enum nm_err err = nm_project_path(check->path, file, path, sizeof path);
    if (err == NM_OK)
        err = nm_file_read(path, &text, &diag);
    if (err != NM_OK) {
        struct nm_diag with_key;
        (void)nm_fail(&with_key, err, "%s: %s", what, diag.text);
        wrong(check, err, &with_key);
    } else {
        printf("%-10s %s\n", printed, path);
    }
    nm_buf_clean_up(&text);
}

static void check_model(struct check *check)
{
    char path[NM_PATH_MAX];
    struct nm_diag diag = {""};
    struct nm_buf value;
    nm_buf_init(&value, NM_PATH_MAX);
    enum nm_err err = nm_project_expand("trainer: model", check->project->trainer.model, &value, &diag);
    if (err == NM_OK)
        err = nm_project_path(check->path, nm_buf_str(&value), path, sizeof path - sizeof "/config.json");
    if (err == NM_OK) {
        size_t len = strlen(path);
        (void)snprintf(path + len, sizeof path - len, "/config.json");
        if (!nm_file_exists(path))
            err = nm_fail(&diag, NM_ENOENT, "trainer: model: %s: not found; it should be a Hugging Face directory",
                          path);
        else
            printf("encoder    %.*s\n", (int)len, path);
    }
    if (err != NM_OK && getenv("NERMILL_ENCODER") == NULL && strstr(check->project->trainer.model, "${NERMILL_ENC"))
        puts("encoder    none: NERMILL_ENCODER is not set; 'nermill run' will want --model DIR or --no-train");
    else if (err != NM_OK)
        wrong(check, err, &diag);
    nm_buf_clean_up(&value);
}

/* The generator's program asks each endpoint for its list of models, which costs nothing. */
static void check_endpoints(struct check *check)
{
    struct nm_diag diag = {""};
    struct nm_buf out;
    nm_buf_init(&out, 1 << 20);
    int code = 0;
    const char *const argv[] = {"nermill-generator", "probe", check->place.project_file, "--give-up", "20", NULL};
    enum nm_err err = nm_process_capture(argv, &out, &code, &diag);
    if (err != NM_OK)
        wrong(check, err, &diag);
    for (char *line = out.data; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = '\0';
        printf("endpoint   %s\n", line);
        line = end != NULL ? end + 1 : NULL;
    }
    if (code != 0 && check->first == NM_OK)
        check->first = code == NM_EXIT_ENDPOINT ? NM_ENET : NM_EINVAL; /* its line on stderr is already there */
    nm_buf_clean_up(&out);
}

static void print_cost(const struct nm_project *project, uint64_t samples)
{
    const struct nm_project_generation *generation = &project->generation;
    double sentences = ceil((double)samples / accepted_share), again = sentences - (double)samples; /* those alone */
    double calls = ceil((double)samples / generation->sentences_per_call + again);
    double out = sentences * tokens_per_word * (generation->words.min + generation->words.max) / 2.0;
    printf("cost       about %.0f calls, %.0f thousand tokens in and %.0f thousand out\n", calls,
           calls * prompt_tokens / 1000.0, out / 1000.0);
    printf("           (assumed: %.0f %% of the answers accepted, %.0f tokens a prompt)\n", 100.0 * accepted_share,
           prompt_tokens);
}

static int check_all(struct check *check, bool offline)
{
    struct nm_diag diag = {""};
    enum nm_err err = nm_place_init(&check->place, check->path, NULL, &diag);
    if (err == NM_OK)
        err = nm_project_load(check->path, &check->project, &diag);
    if (err != NM_OK) {
        wrong(check, err, &diag);
        return (int)nm_exit_code(err);
    }
    printf("project    %s (%s)\n", check->project->name, check->place.project_file);
    check_lists(check);
    if (check->project->generation.template != NULL)
        check_file(check, "generation: template", check->project->generation.template, "template");
    if (check->project->alignment.learn_from != NULL)
        check_file(check, "alignment: learn_from", check->project->alignment.learn_from, "learn from");
    if (check->project->gold != NULL)
        check_file(check, "gold", check->project->gold, "gold");
    check_model(check);
    fflush(stdout);
    if (!offline)
        check_endpoints(check);
    print_cost(check->project, check->samples);
    puts(check->first == NM_OK ? "ready      nothing is wrong" : "not ready  see above");
    return (int)nm_exit_code(check->first);
}

int nm_command_validate(int argc, char **argv)
{
    bool offline = false;
    const struct nm_opt opts[] = {
        {0, "offline", NM_OPT_FLAG, &offline, NULL, "don't ask the endpoints"},
    };
    const struct nm_command command = {
        .name = "validate",
        .usage = "PROJECT [--offline]",
        .summary = "Check PROJECT (a project.yaml, or its directory): keys, entity lists, files, endpoints; and\n"
                   "estimate what the run would cost.  Nothing is generated; an endpoint is asked for its models.",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts,
    };
    size_t n = 0;
    int code = nm_opts_parse(&command, argc, argv, &n);
    if (code >= 0)
        return code;
    struct check check = {.path = argv[1]};
    code = check_all(&check, offline);
    nm_project_destroy(&check.project);
    return code;
}
