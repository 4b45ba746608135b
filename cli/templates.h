/* templates.h - the projects that "nermill init" writes, built in from cli/templates. */
#ifndef NM_CLI_TEMPLATES_H
#define NM_CLI_TEMPLATES_H

#include <stddef.h>

struct nm_template_file {
    const char *template, *name;
    const unsigned char *data;
    size_t len;
};

extern const struct nm_template_file nm_template_files[];
extern const size_t nm_template_count;

#endif
