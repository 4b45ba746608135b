#include "workers/trainer/params.h"

#include <stdlib.h>
#include <string.h>

const struct nm_param *nm_params_find(const struct nm_params *params, const char *name)
{
    for (size_t i = 0; i < params->n; i++)
        if (strcmp(params->at[i].name, name) == 0)
            return &params->at[i];
    return NULL;
}

size_t nm_params_depth(const struct nm_param *param, size_t n_layers)
{
    static const char layer[] = ".layer.";
    const char *at = strstr(param->name, layer);
    if (at != NULL)
        return n_layers - (size_t)strtoul(at + strlen(layer), NULL, 10);
    return strstr(param->name, "embeddings.") != NULL ? n_layers + 1 : 0;
}
