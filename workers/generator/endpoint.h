/* endpoint.h - from an endpoint of the project to a target of the HTTP engine: variables, key, files. */
#ifndef NM_GENERATOR_ENDPOINT_H
#define NM_GENERATOR_ENDPOINT_H

#include "schemas/project.h"
#include "workers/generator/llm.h"

/* nm_endpoint_target - dir: what relative api_key_file and ca_file are relative to (NULL: the working directory).
 * NM_EINVAL, NM_ENOENT, NM_EAUTH, NM_EFORMAT: a url, a variable, a key or a file that cannot be used; diag names
 * endpoint and key, and never what a variable or a key file holds. */
enum nm_err nm_endpoint_target(const struct nm_project_endpoint *config, const char *dir,
                               struct nm_llm_target **target, struct nm_diag *diag);

#endif
