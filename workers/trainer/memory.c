#include "workers/trainer/memory.h"

#include <stdbool.h>
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
                                        const struct nm_recipe *recipe, const struct nm_comm *comm, uint32_t *order)
{
    struct nm_bert_extent largest = {0};
    for (size_t s = 0; s < stages->n; s++) {
        const struct nm_stage *stage = &stages->at[s];
        for (size_t epoch = 0; epoch < stage->epochs; epoch++) {
            nm_stage_shuffle(stage, recipe->seed, epoch, order);
            for (size_t at = 0; at < stage->n; at += recipe->batch) {
                const size_t n = stage->n - at < recipe->batch ? stage->n - at : (size_t)recipe->batch;
                const struct nm_comm_part own = nm_comm_part(comm, n);
                grow_to(&largest, set, order + at + own.lo, own.n);
            }
        }
    }
    return largest;
}

/* Gradients that several processes sum: the rows of embeddings that any has touched, packed and with room to spare.
 */
static size_t summing(const struct nm_memory_need *need)
{
    const struct nm_model_config *cfg = need->cfg;
    const size_t tokens = need->processes * need->largest.n_tokens;
    const size_t words = tokens < cfg->vocab_size ? tokens : cfg->vocab_size;
    if (need->processes == 1)
        return 0;
    return (words + need->largest.max_len + 1) * cfg->hidden_size * sizeof(float) * 5 / 4;
}

size_t nm_memory_needed(const struct nm_memory_need *need)
{
    return nm_bert_memory(need->cfg, need->options, &need->largest) + summing(need);
}

/* The largest batch, of sentences like these, that fits; 0: none. */
static size_t fitting_tokens(const struct nm_memory_need *need, size_t allowed)
{
    const struct nm_bert_extent *x = &need->largest;
    size_t fits = 0, over = x->n_tokens;
    while (over - fits > 1) {
        const size_t n = fits + (over - fits) / 2;
        struct nm_memory_need part = *need;
        part.largest.n_tokens = n;
        part.largest.max_len = x->max_len < n ? x->max_len : n;
        part.largest.probs = (size_t)((double)x->probs * (double)n / (double)x->n_tokens);
        if (nm_memory_needed(&part) <= allowed)
            fits = n;
        else
            over = n;
    }
    return fits;
}

/* "3.1 GB", "310 MB" */
static const char *amount(size_t bytes, char out[32])
{
    const bool large = bytes >= 1000000000;
    (void)snprintf(out, 32, large ? "%.1f GB" : "%.0f MB", (double)bytes / (large ? 1e9 : 1e6));
    return out;
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

enum nm_err nm_memory_check(const struct nm_memory_need *need, size_t allowed, struct nm_diag *diag)
{
    const size_t needed = nm_memory_needed(need) * need->here;
    char text[32], wants[32], has[32], share[64] = "", fits[64], instead[80] = "";
    (void)amount(needed, wants);
    (void)amount(allowed, has);
    if (need->here > 1)
        (void)snprintf(share, sizeof(share), " for the %zu processes on this machine", need->here);
    if (needed <= allowed) {
        nm_info("needs %s%s of the %s that are free; the largest batch has %s tokens", wants, share, has,
                with_commas(need->largest.n_tokens, text));
        return NM_OK;
    }
    const size_t tokens = fitting_tokens(need, allowed / need->here);
    struct nm_bert_options less = *need->options;
    struct nm_memory_need checkpointing = *need;
    less.checkpointing = true;
    checkpointing.options = &less;
    const size_t then = nm_memory_needed(&checkpointing) * need->here;
    if (tokens > 0)
        (void)snprintf(fits, sizeof(fits), "a batch of %s tokens would fit", with_commas(tokens, text));
    else
        (void)snprintf(fits, sizeof(fits), "the model alone does not fit");
    if (then <= allowed)
        (void)snprintf(instead, sizeof(instead), ", or checkpoint gradients, which needs %s", amount(then, text));
    return nm_fail(diag, NM_ELIMIT,
                   "this needs %s%s; %s is free; %s (the largest of this training has %s): take a smaller batch "
                   "or max-length%s",
                   wants, share, has, fits, with_commas(need->largest.n_tokens, text), instead);
}
