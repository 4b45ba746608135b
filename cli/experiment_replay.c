#include "cli/experiment_replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "schemas/messages.h"

/* The log that a generation is answered from: of an earlier run of it, or of the generation whose answers it takes.
 * false: it asks. */
static bool find_log(const struct nm_exp *x, const struct nm_exp_step *generation, char path[NM_FILE_PATH])
{
    const int other = generation->deps[NM_EXP_OF_DATA];
    const char *key = other >= 0 ? x->steps[other].key : generation->key;
    path[0] = '\0';
    if (x->replay != NULL)
        return (size_t)snprintf(path, NM_FILE_PATH, "%s/%s.jsonl.gz", x->replay, key) < NM_FILE_PATH;
    return other >= 0 && nm_exp_path(x, "responses", key, ".jsonl.gz", path) == NM_OK;
}

enum nm_err nm_exp_replay_find(const struct nm_exp *x, const struct nm_exp_step *generation, char path[NM_FILE_PATH],
                               struct nm_diag *diag)
{
    char real[NM_FILE_PATH];
    path[0] = '\0';
    if (!find_log(x, generation, real))
        return NM_OK;
    if (realpath(real, path) == NULL)
        return nm_fail(diag, NM_ENOENT, "%s: no answers are recorded for this generation", real);
    return nm_guard_check_file(x->guard, "--replay", path, diag);
}

enum nm_err nm_exp_replay_check(const struct nm_exp *x, const struct nm_exp_step *generation, struct nm_diag *diag)
{
    char path[NM_FILE_PATH], log[NM_FILE_PATH];
    size_t i;
    json_t *rule;
    json_int_t missing = 0;
    if (!find_log(x, generation, log))
        return NM_OK;
    enum nm_err err = nm_exp_path(x, "generations", generation->key, ".report.json", path);
    if (err != NM_OK)
        return nm_fail(diag, err, "%s: the path is too long", x->state);
    json_t *report = json_load_file(path, 0, NULL);
    const json_t *rules = json_object_get(json_object_get(report, "generation"), "rejected_by_rule");
    if (!json_is_array(rules))
        err = nm_fail(diag, NM_EFORMAT, "%s does not say which answers were rejected", path);
    json_array_foreach(rules, i, rule)
    {
        const char *name = json_string_value(json_object_get(rule, "rule"));
        if (name != NULL && strcmp(name, NM_NOT_RECORDED) == 0)
            missing = json_integer_value(json_object_get(rule, "count"));
    }
    json_decref(report);
    return missing == 0 ? err
                        : nm_fail(diag, NM_ESTATE,
                                  "requests without an answer in %s: %lld; the prompts are not those that it was "
                                  "recorded with, and the data set would be another one",
                                  log, (long long)missing);
}
