/* styles.h - the ways of writing that are asked for where a project names none: noun phrases, of no one domain. */
#ifndef NM_BROKER_STYLES_H
#define NM_BROKER_STYLES_H

static const char *const nm_styles_builtin[] = {
    "a plain statement of fact",      "a report of a finding with numbers", "a comparison", "a cause and its effect",
    "a description of a single case", "a summary of earlier work",          "a caution",    "a hypothesis",
};

enum { NM_STYLES_BUILTIN = sizeof nm_styles_builtin / sizeof nm_styles_builtin[0] };

#endif
