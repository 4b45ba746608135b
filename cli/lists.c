#include "cli/lists.h"

#include <stdio.h>
#include <string.h>

#include "schemas/messages.h"

/* "TYPE=LIST": a type's name has no '='. */
static enum nm_err load(struct nm_entities *entities, const char *text, struct nm_diag *diag)
{
    char type[NM_NAME_MAX];
    const char *path = strchr(text, '=');
    if (path == NULL || path == text || path[1] == '\0' || (size_t)(path - text) >= sizeof type)
        return nm_fail(diag, NM_EINVAL, "--entities takes TYPE=LIST, like Chemical=Chemical.txt, not '%s'", text);
    (void)snprintf(type, sizeof type, "%.*s", (int)(path - text), text);
    return nm_entities_load(entities, type, path + 1, diag);
}

enum nm_err nm_lists_load(const struct nm_texts *lists, struct nm_entities **out, struct nm_diag *diag)
{
    struct nm_entities *entities = *out = nm_entities_new();
    enum nm_err err = entities != NULL ? NM_OK : nm_fail(diag, NM_ENOMEM, "out of memory");
    if (err == NM_OK && lists->n == 0)
        err = nm_fail(diag, NM_EINVAL, "give --entities TYPE=LIST, once a list");
    if (err == NM_OK)
        nm_entities_take_two_types(entities);
    for (size_t i = 0; i < lists->n && err == NM_OK; i++)
        err = load(entities, lists->v[i], diag);
    if (err != NM_OK)
        nm_entities_destroy(out);
    return err;
}
