/* project_augmentation.c - the section augmentation: copies of the samples with the surface form of real text. */
#include "schemas/project_check.h"

struct nm_project_augmentation nm_project_augmentation_default(void)
{
    return (struct nm_project_augmentation){.copies = 5,
                                            .share = 0.8,
                                            .coordinate = 0.25,
                                            .abbreviate = 0.1,
                                            .aside = 0.25,
                                            .frame = 0.15,
                                            .decoy_share = 0.8};
}

bool nm_project_augmentation_fits(const struct nm_project_augmentation *how)
{
    return how->coordinate + how->abbreviate + how->aside <= 1;
}

static enum nm_err open_file(const char *project, char **file, char path[NM_FILE_PATH], struct nm_diag *diag)
{
    if (*file == NULL)
        return NM_OK;
    if (nm_project_path(project, *file, path, NM_FILE_PATH) != NM_OK)
        return nm_fail(diag, NM_ELIMIT, "%s: the path is too long", *file);
    *file = path;
    return NM_OK;
}

enum nm_err nm_project_augmentation_open(const struct nm_project *project, const char *path,
                                         struct nm_augmentation_files *files, struct nm_project_augmentation *how,
                                         struct nm_diag *diag)
{
    *how = project->augmentation;
    const enum nm_err err = open_file(path, &how->asides, files->asides, diag);
    return err == NM_OK ? open_file(path, &how->decoys, files->decoys, diag) : err;
}

static double share(struct nm_checker *c, const char *key, const double *value, double fallback)
{
    return nm_value_float(c, "augmentation", 0, key, value, fallback, 0, 1);
}

void nm_check_augmentation(struct nm_checker *c, const struct raw_augmentation *in, struct nm_project *project)
{
    static const struct raw_augmentation nothing = {0};
    const struct nm_project_augmentation by_default = nm_project_augmentation_default();
    struct nm_project_augmentation *out = &project->augmentation;
    out->wanted = in != NULL;
    if (in == NULL)
        in = &nothing;
    out->copies = nm_value_uint(c, "augmentation", 0, "copies", in->copies, by_default.copies, 1, 100);
    out->asides = nm_value_filled(c, in->asides);
    out->decoys = nm_value_filled(c, in->decoys != NULL ? in->decoys : project->generation.decoys.file);
    out->share = share(c, "share", in->share, by_default.share);
    out->coordinate = share(c, "coordinate", in->coordinate, by_default.coordinate);
    out->abbreviate = share(c, "abbreviate", in->abbreviate, by_default.abbreviate);
    out->aside = share(c, "aside", in->aside, by_default.aside);
    out->frame = share(c, "frame", in->frame, by_default.frame);
    out->decoy_share = share(c, "decoy_share", in->decoy_share, by_default.decoy_share);
    if (!nm_project_augmentation_fits(out))
        nm_value_complain(c, "augmentation", 0, "coordinate",
                          "coordinate, abbreviate and aside are more than 1 together: at most one of them happens "
                          "behind a mention");
}
