#include "cli/experiment_replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "schemas/messages.h"

enum nm_err nm_exp_replay_find(const struct nm_exp *x, const struct nm_exp_step *generation, char path[NM_FILE_PATH],
                               struct nm_diag *diag)
{
    char name[64], real[NM_FILE_PATH];
    path[0] = '\0';
    if (x->replay == NULL)
        return NM_OK;
    (void)snprintf(name, sizeof name, "%s.jsonl.gz", generation->key);
    enum nm_err err = nm_file_path(x->replay, name, real, diag);
    if (err == NM_OK && realpath(real, path) == NULL)
        err = nm_fail(diag, NM_ENOENT, "%s: no answers are recorded for this generation", real);
    return err == NM_OK ? nm_guard_check_file(x->guard, "--replay", path, diag) : err;
}

enum nm_err nm_exp_replay_check(const struct nm_exp *x, const struct nm_exp_step *generation, struct nm_diag *diag)
{
    char path[NM_FILE_PATH];
    size_t i;
    json_t *rule;
    json_int_t missing = 0;
    if (x->replay == NULL)
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
    return missing == 0
               ? err
               : nm_fail(diag, NM_ESTATE,
                         "requests without an answer in %s/%s.jsonl.gz: %lld; the prompts are not those that it was "
                         "recorded with, and the data set would be another one",
                         x->replay, generation->key, (long long)missing);
}
