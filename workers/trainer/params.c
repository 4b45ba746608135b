#include "workers/trainer/params.h"

#include <string.h>

const struct nm_param *nm_params_find(const struct nm_params *params, const char *name)
{
    for (size_t i = 0; i < params->n; i++)
        if (strcmp(params->at[i].name, name) == 0)
            return &params->at[i];
    return NULL;
}
