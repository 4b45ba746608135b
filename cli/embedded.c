#include "cli/embedded.h"

#include <stdlib.h>
#include <string.h>

const struct nm_template_file *nm_embedded_find(const char *name)
{
    for (size_t i = 0; i < nm_embedded_count; i++)
        if (strcmp(nm_embedded_files[i].name, name) == 0)
            return &nm_embedded_files[i];
    abort(); /* a name in our own code */
}
