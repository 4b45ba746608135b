/* bench_dedup [TEXTS] - what the search for duplicates costs: CPU time of a fingerprint, CPU time of looking up and
 * entering a text's ten keys, bytes on the disk a text.  One JSON line a figure; the index is a file in the present
 * directory. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "broker/keytable.h"
#include "common/hash.h"
#include "schemas/fingerprint.h"

enum { PRINTS = 300000, KEYS = 10, WORDS = 20 };

static const char path[] = "bench-dedup.index";

static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void emit(const char *metric, double value, const char *unit)
{
    printf("{\"bench\":\"dedup\",\"metric\":\"%s\",\"value\":%.2f,\"unit\":\"%s\"}\n", metric, value, unit);
}

/* A sentence of words of a vocabulary of a thousand. */
static void write_text(struct nm_rng *rng, char *text, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < WORDS; i++)
        at += (size_t)snprintf(text + at, size - at, "word%d ", (int)nm_rng_below(rng, 1000));
}

static void bench_prints(void)
{
    struct nm_arena arena;
    struct nm_rng rng;
    struct nm_fingerprint print;
    char text[512];
    double spent = 0;
    nm_arena_init(&arena, 0);
    nm_rng_init(&rng, 1);
    for (int i = 0; i < PRINTS; i += 100) {
        write_text(&rng, text, sizeof text);
        const struct nm_fingerprint_text t = {.text = nm_str(text)};
        double before = cpu_us();
        for (int k = 0; k < 100; k++) {
            nm_arena_reset(&arena);
            if (nm_fingerprint_make(&t, &arena, &print) != NM_OK)
                exit(1);
        }
        spent += cpu_us() - before;
    }
    nm_arena_clean_up(&arena);
    emit("fingerprint_us", spent / PRINTS, "us of CPU a text of 20 words");
}

static void bench_table(uint64_t texts)
{
    struct nm_keytable *table;
    struct nm_diag diag = {""};
    uint64_t values[NM_KEYTABLE_VALUES], pages, count, found = 0;
    bool fresh;
    (void)unlink(path);
    if (nm_keytable_open(path, 1, 0, 0, &table, &fresh, &diag) != NM_OK) {
        (void)fprintf(stderr, "%s\n", diag.text);
        exit(1);
    }
    double before = cpu_us();
    for (uint64_t i = 0; i < texts; i++) {
        uint64_t keys[KEYS];
        for (uint64_t k = 0; k < KEYS; k++)
            nm_keytable_prefetch(table, keys[k] = nm_mix64(i * 16 + k));
        for (size_t k = 0; k < KEYS; k++)
            found += nm_keytable_get(table, keys[k], values);
        for (size_t k = 0; k < KEYS; k++)
            nm_keytable_put(table, keys[k], i);
        if (nm_keytable_synced(table, &pages, &count))
            nm_keytable_committed(table, pages);
        if (nm_keytable_due(table))
            nm_keytable_begin_sync(table);
    }
    emit("lookup_and_enter_us", (cpu_us() - before) / (double)texts, "us of CPU a text, its writing thread included");
    emit("bytes_a_text", (double)nm_keytable_bytes(table) / (double)texts, "bytes on the disk");
    emit("keys_lost", (double)nm_keytable_lost(table), "of all");
    nm_keytable_close(&table);
    (void)unlink(path);
    if (found > 0)
        exit(1); /* no key was there twice */
}

int main(int argc, char **argv)
{
    bench_prints();
    bench_table(argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000);
    return 0;
}
