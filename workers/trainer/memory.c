#include "workers/trainer/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/log.h"

/* ---- what there is --------------------------------------------------------------------------- */

/* The number behind `key` in a file of lines like "MemAvailable:  123 kB"; key "": the file's first.  SIZE_MAX: none.
 */
static size_t number_in(const char *path, const char *key)
{
    char line[256];
    size_t found = SIZE_MAX;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return SIZE_MAX;
    while (found == SIZE_MAX && fgets(line, sizeof(line), file) != NULL) {
        const char *at = line + strlen(key);
        at += strspn(at, ": \t");
        if (strncmp(line, key, strlen(key)) == 0 && *at >= '0' && *at <= '9')
            found = strtoull(at, NULL, 10);
    }
    (void)fclose(file);
    return found;
}

/* What a control group leaves: its limit, less what it uses and the kernel could not take back from its file cache.
 */
static size_t left_in_group(const char *group)
{
    char path[NM_FILE_PATH];
    size_t limit, used, cache;
    (void)snprintf(path, sizeof(path), "%.3900s/memory.max", group);
    limit = number_in(path, "");
    (void)snprintf(path, sizeof(path), "%.3900s/memory.current", group);
    used = number_in(path, "");
    (void)snprintf(path, sizeof(path), "%.3900s/memory.stat", group);
    cache = number_in(path, "inactive_file");
    if (limit == SIZE_MAX || used == SIZE_MAX)
        return SIZE_MAX;
    used -= cache != SIZE_MAX && cache < used ? cache : 0;
    return limit > used ? limit - used : 0;
}

/* This process's group (version 2) and every one above it. */
static size_t left_in_groups(void)
{
    static const char root[] = "/sys/fs/cgroup";
    char line[2048], group[2048 + sizeof(root)];
    size_t least = SIZE_MAX;
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (file == NULL)
        return SIZE_MAX;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "0::", 3) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(group, sizeof(group), "%s%s", root, line + 3);
        for (char *end = group + strlen(group); end != NULL && end >= group + sizeof(root) - 1;
             end = strrchr(group, '/')) {
            *end = '\0';
            size_t left = left_in_group(group);
            least = left < least ? left : least;
        }
    }
    (void)fclose(file);
    return least;
}

size_t nm_memory_free(void)
{
    const size_t kib = number_in("/proc/meminfo", "MemAvailable"), group = left_in_groups();
    const size_t machine = kib == SIZE_MAX ? SIZE_MAX : kib << 10;
    return machine < group ? machine : group;
}

/* ---- what is needed -------------------------------------------------------------------------- */

static void grow_to(struct nm_bert_extent *largest, const struct nm_dataset *set, const uint32_t *batch, size_t n)
{
    struct nm_bert_extent x = {0};
    for (size_t i = 0; i < n; i++) {
        const size_t len = set->starts[batch[i] + 1] - set->starts[batch[i]];
        x.n_tokens += len;
        x.probs += len * nm_attention_row(len);
        x.max_len = len > x.max_len ? len : x.max_len;
    }
    largest->n_tokens = x.n_tokens > largest->n_tokens ? x.n_tokens : largest->n_tokens;
    largest->probs = x.probs > largest->probs ? x.probs : largest->probs;
    largest->max_len = x.max_len > largest->max_len ? x.max_len : largest->max_len;
}

struct nm_bert_extent nm_memory_largest(const struct nm_dataset *set, const struct nm_stages *stages,
                                        const struct nm_recipe *recipe, uint32_t *order)
{
    struct nm_bert_extent largest = {0};
    for (size_t s = 0; s < stages->n; s++) {
        const struct nm_stage *stage = &stages->at[s];
        for (size_t epoch = 0; epoch < stage->epochs; epoch++) {
            nm_stage_shuffle(stage, recipe->seed, epoch, order);
            for (size_t at = 0; at < stage->n; at += recipe->batch)
                grow_to(&largest, set, order + at,
                        stage->n - at < recipe->batch ? stage->n - at : (size_t)recipe->batch);
        }
    }
    return largest;
}

/* The largest batch, of sentences like these, that fits; 0: none. */
static size_t fitting_tokens(const struct nm_model_config *cfg, const struct nm_bert_options *options,
                             const struct nm_bert_extent *x, size_t allowed)
{
    size_t fits = 0, over = x->n_tokens;
    while (over - fits > 1) {
        const size_t n = fits + (over - fits) / 2;
        const struct nm_bert_extent part = {n, x->max_len < n ? x->max_len : n,
                                            (size_t)((double)x->probs * (double)n / (double)x->n_tokens)};
        if (nm_bert_memory(cfg, options, &part) <= allowed)
            fits = n;
        else
            over = n;
    }
    return fits;
}

static double gigabytes(size_t bytes)
{
    return (double)bytes / 1e9;
}

/* 12345 as "12,345" */
static const char *with_commas(size_t n, char out[32])
{
    char digits[24];
    const int len = snprintf(digits, sizeof(digits), "%zu", n);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

enum nm_err nm_memory_check(const struct nm_model_config *cfg, const struct nm_bert_options *options,
                            const struct nm_bert_extent *largest, size_t allowed, struct nm_diag *diag)
{
    const size_t needed = nm_bert_memory(cfg, options, largest);
    char text[32], fits[64], instead[80] = "";
    if (needed <= allowed) {
        nm_info("needs %.1f GB of the %.1f GB that are free; the largest batch has %s tokens", gigabytes(needed),
                gigabytes(allowed), with_commas(largest->n_tokens, text));
        return NM_OK;
    }
    const size_t tokens = fitting_tokens(cfg, options, largest, allowed);
    struct nm_bert_options less = *options;
    less.checkpointing = true;
    const size_t then = nm_bert_memory(cfg, &less, largest);
    if (tokens > 0)
        (void)snprintf(fits, sizeof(fits), "a batch of %s tokens would fit", with_commas(tokens, text));
    else
        (void)snprintf(fits, sizeof(fits), "the model alone does not fit");
    if (then <= allowed)
        (void)snprintf(instead, sizeof(instead), ", or checkpoint gradients, which needs %.1f GB", gigabytes(then));
    return nm_fail(
        diag, NM_ELIMIT,
        "this needs %.1f GB; %.1f GB is free; %s (the largest of this training has %s): take a smaller batch "
        "or max-length%s",
        gigabytes(needed), gigabytes(allowed), fits, with_commas(largest->n_tokens, text), instead);
}
