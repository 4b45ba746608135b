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

void nm_check_augmentation(struct nm_checker *c, const struct raw_augmentation *in, struct nm_project *project)
{
    static const struct raw_augmentation nothing = {0};
    struct nm_project_augmentation *out = &project->augmentation;
    out->wanted = in != NULL;
    if (in == NULL)
        in = &nothing;
    out->copies = nm_value_uint(c, "augmentation", 0, "copies", in->copies, 5, 1, 100);
    out->asides = nm_value_filled(c, in->asides);
    out->decoys = nm_value_filled(c, in->decoys != NULL ? in->decoys : project->generation.decoys.file);
    out->share = nm_value_float(c, "augmentation", 0, "share", in->share, 0.8, 0, 1);
    out->coordinate = nm_value_float(c, "augmentation", 0, "coordinate", in->coordinate, 0.25, 0, 1);
    out->abbreviate = nm_value_float(c, "augmentation", 0, "abbreviate", in->abbreviate, 0.1, 0, 1);
    out->aside = nm_value_float(c, "augmentation", 0, "aside", in->aside, 0.25, 0, 1);
    out->frame = nm_value_float(c, "augmentation", 0, "frame", in->frame, 0.15, 0, 1);
    out->decoy_share = nm_value_float(c, "augmentation", 0, "decoy_share", in->decoy_share, 0.8, 0, 1);
    if (!nm_project_augmentation_fits(out))
        nm_value_complain(c, "augmentation", 0, "coordinate",
                          "coordinate, abbreviate and aside are more than 1 together: at most one of them happens "
                          "behind a mention");
}
