/* lists.h - entity lists named on the command line: --entities TYPE=LIST, once a list. */
#ifndef NM_CLI_LISTS_H
#define NM_CLI_LISTS_H

#include "cli/options.h"
#include "common/err.h"
#include "schemas/entities.h"

#define NM_LISTS_HELP "a list, a name a line; given once a list"

/* nm_lists_load - a name may stand in several lists.  NM_EINVAL: none, or not TYPE=LIST; nm_entities_load's errors.
 */
enum nm_err nm_lists_load(const struct nm_texts *lists, struct nm_entities **entities, struct nm_diag *diag);

#endif
