/* project_quality.c - the sections of project.yaml that say which accepted texts and labels are not to be had. */
#include "common/file.h"
#include "schemas/project_check.h"

enum { GOLD_MAX = 1 << 30, PATH_BYTES = 4096 };

void nm_check_dedup(struct nm_checker *c, const struct raw_dedup *in, struct nm_project_dedup *out)
{
    static const struct raw_dedup nothing = {0};
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_dedup){.exact = in->exact == NULL || *in->exact,
                                     .near = nm_value_float(c, "dedup", 0, "near", in->near, 0.8, 0, 1),
                                     .per_template =
                                         nm_value_uint(c, "dedup", 0, "per_template", in->per_template, 0, 0, 1000)};
    if (out->near > 0 && out->near < 0.5)
        nm_value_complain(c, "dedup", 0, "near",
                          "%g is too low: texts that are less than half alike are not found; give 0.5 to 1, or 0 to "
                          "leave near duplicates in",
                          out->near);
}

void nm_check_leakage(struct nm_checker *c, const struct raw_leakage *in, struct nm_project_leakage *out)
{
    static const struct raw_leakage nothing = {0};
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_leakage){.gold = nm_value_list(c, in->gold, in->gold_count),
                                       .n_gold = in->gold_count,
                                       .ngram = nm_value_uint(c, "leakage", 0, "ngram", in->ngram, 13, 3, 100)};
}

void nm_check_denoise(struct nm_checker *c, const struct raw_denoise *in, struct nm_project_denoise *out)
{
    static const char *const rejected[] = {"drop", "mask", "keep"};
    static const struct raw_denoise nothing = {0};
    bool wanted = in != NULL;
    if (in == NULL)
        in = &nothing;
    *out = (struct nm_project_denoise){
        .wanted = wanted,
        .folds = nm_value_uint(c, "denoise", 0, "folds", in->folds, 4, 2, 50),
        .train_folds = nm_value_uint(c, "denoise", 0, "train_folds", in->train_folds, 2, 1, 49),
        .agree = nm_value_float(c, "denoise", 0, "agree", in->agree, 1, 0.01, 1),
        .reject = nm_value_float(c, "denoise", 0, "reject", in->reject, 1, 0.01, 1),
        .rejected =
            (enum nm_rejected_label)nm_value_one_of(c, "denoise", 0, "rejected", in->rejected, 0, rejected, 3)};
    if (out->train_folds >= out->folds)
        nm_value_complain(c, "denoise", 0, "train_folds",
                          "%u of %u folds leave no model that has not seen a sentence: give fewer", out->train_folds,
                          out->folds);
}

enum nm_err nm_project_leakage_blob(const struct nm_project *project, const char *path, struct nm_buf *out,
                                    struct nm_diag *diag)
{
    struct nm_leakage leakage;
    struct nm_buf data;
    enum nm_err err = NM_OK;
    nm_leakage_init(&leakage, project->leakage.ngram);
    nm_buf_init(&data, GOLD_MAX);
    for (uint32_t i = 0; i < project->leakage.n_gold && err == NM_OK; i++) {
        char file[PATH_BYTES];
        nm_buf_reset(&data);
        err = nm_project_path(path, project->leakage.gold[i], file, sizeof file) == NM_OK
                  ? nm_file_read(file, &data, diag)
                  : nm_fail(diag, NM_ELIMIT, "%s: the path is too long", project->leakage.gold[i]);
        if (err == NM_OK)
            err = nm_leakage_add_conll(&leakage, file, nm_buf_str(&data), data.len, diag);
    }
    nm_leakage_close(&leakage);
    if (err == NM_OK && nm_leakage_encode(&leakage, out) != NM_OK)
        err = nm_fail(diag, NM_ELIMIT, "%s: leakage: gold is larger than can be handed out", path);
    nm_buf_clean_up(&data);
    nm_leakage_clean_up(&leakage);
    return err;
}
