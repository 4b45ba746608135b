#include "schemas/yaml_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"

/* ---- errors: libcyaml's log made into one line ----------------------------------------------- */

struct report {
    char what[512]; /* its first line */
    long line;      /* of the innermost place it names; 0: none */
    char place[128];
};

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    (void)level;
    struct report *report = ctx;
    char text[512];
    (void)vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = '\0';
    const char *line = strstr(text, "(line: ");
    if (report->what[0] == '\0') {
        const char *what = strncmp(text, "Load: ", 6) == 0 ? text + 6 : text;
        (void)snprintf(report->what, sizeof report->what, "%s", what);
    } else if (line != NULL && report->line == 0) {
        report->line = strtol(line + 7, NULL, 10);
        const char *field = strstr(text, "field '");
        if (field != NULL)
            (void)snprintf(report->place, sizeof report->place, "%.*s", (int)strcspn(field + 7, "'"), field + 7);
    }
}

static void nearest_in(const cyaml_schema_field_t *fields, const char *key, const char **best, size_t *best_distance)
{
    for (; fields->key != NULL; fields++) {
        size_t d = nm_edit_distance(key, fields->key);
        if (d < *best_distance) {
            *best_distance = d;
            *best = fields->key;
        }
        if (fields->value.type == CYAML_MAPPING)
            nearest_in(fields->value.mapping.fields, key, best, best_distance);
        else if (fields->value.type == CYAML_SEQUENCE && fields->value.sequence.entry->type == CYAML_MAPPING)
            nearest_in(fields->value.sequence.entry->mapping.fields, key, best, best_distance);
    }
}

/* The line, at or behind from, on which "key:" stands: libcyaml names the place before an unknown key. */
static long line_of_key(const char *yaml, size_t len, const char *key, long from)
{
    size_t key_len = strlen(key);
    long line = 1;
    const char *end = yaml + len;
    for (const char *p = yaml; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        const char *word = p;
        while (word < stop && (*word == ' ' || *word == '-' || *word == '{' || *word == '"'))
            word++;
        if (line >= from && (size_t)(stop - word) > key_len && memcmp(word, key, key_len) == 0 &&
            strchr(": \"", word[key_len]) != NULL)
            return line;
        p = stop + 1;
    }
    return from;
}

static enum nm_err fail_load(const char *yaml, size_t len, const char *name, const cyaml_schema_value_t *form,
                             cyaml_err_t rc, const struct report *report, struct nm_diag *diag)
{
    static const char unexpected[] = "Unexpected key: ";
    static const char missing[] = "Missing required mapping field: ";
    if (rc == CYAML_ERR_OOM)
        return nm_fail(diag, NM_ENOMEM, "%s: out of memory", name);
    if (strncmp(report->what, unexpected, sizeof unexpected - 1) == 0) {
        const char *key = report->what + sizeof unexpected - 1;
        const char *best = NULL;
        size_t best_distance = nm_nearest_reach(key);
        nearest_in(form->mapping.fields, key, &best, &best_distance);
        return nm_fail(diag, NM_EFORMAT, "%s:%ld: unknown key '%s'%s%s%s", name,
                       line_of_key(yaml, len, key, report->line), key, best != NULL ? ": did you mean '" : "",
                       best != NULL ? best : "", best != NULL ? "'?" : "");
    }
    if (strncmp(report->what, missing, sizeof missing - 1) == 0)
        return nm_fail(diag, NM_EFORMAT, "%s:%ld: the key '%s' is missing here", name, report->line,
                       report->what + sizeof missing - 1);
    return nm_fail(diag, NM_EFORMAT, "%s:%ld: %s%s%s", name, report->line > 0 ? report->line : 1,
                   report->what[0] != '\0' ? report->what : cyaml_strerror(rc),
                   report->place[0] != '\0' ? ", in " : "", report->place);
}

/* ---- loading --------------------------------------------------------------------------------- */

static const cyaml_config_t *configure(cyaml_config_t *config, struct report *report)
{
    *config = (cyaml_config_t){.log_fn = report != NULL ? on_log : NULL,
                               .log_ctx = report,
                               .mem_fn = cyaml_mem,
                               .log_level = CYAML_LOG_ERROR,
                               .flags = CYAML_CFG_NO_ALIAS};
    return config;
}

enum nm_err nm_yaml_load(const char *yaml, size_t len, const char *name, const cyaml_schema_value_t *form, void **out,
                         struct nm_diag *diag)
{
    struct report report = {0};
    cyaml_config_t config;
    *out = NULL;
    cyaml_err_t rc =
        cyaml_load_data((const uint8_t *)yaml, len, configure(&config, &report), form, (cyaml_data_t **)out, NULL);
    return rc == CYAML_OK ? NM_OK : fail_load(yaml, len, name, form, rc, &report, diag);
}

void nm_yaml_free(const cyaml_schema_value_t *form, void **data)
{
    cyaml_config_t config;
    if (*data != NULL)
        (void)cyaml_free(configure(&config, NULL), form, *data, 0);
    *data = NULL;
}
