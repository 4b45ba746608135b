/* ledger_check_parts.h - shared by ledger_check.c and ledger_sums.c only. */
#ifndef NM_BROKER_LEDGER_CHECK_PARTS_H
#define NM_BROKER_LEDGER_CHECK_PARTS_H

#include "broker/ledger_check.h"
#include "broker/ledger_parts.h"
#include "broker/plan.h"

#define TASK(n) ((unsigned long long)(n))

enum nm_check_db {
    CHECK_SETTINGS,
    CHECK_STATE,
    CHECK_OPEN,
    CHECK_ENDED,
    CHECK_DEAD,
    CHECK_RESPONSES,
    CHECK_COVERAGE,
    CHECK_SINCE,
    CHECK_WORKERS,
    CHECK_EXTRA,
    CHECK_TROUBLED,
    CHECK_DBS
};

struct nm_check_worker {
    enum nm_queue_role role;
    uint64_t samples, owned; /* as recorded; done tasks */
};

struct nm_check_rule {
    char name[NM_NAME_MAX + 1];
    uint64_t recorded, found;
};

struct nm_check {
    nm_ledger_violation_fn fn;
    void *ctx;
    struct nm_ledger_findings *findings;
    struct nm_db db[CHECK_DBS];
    bool has[CHECK_DBS]; /* the store has it */

    struct nm_arena arena; /* of one answer */
    struct nm_ledger_counters counters, sum;
    struct nm_check_rule rules[NM_LEDGER_RULES_MAX];
    size_t n_rules;
    struct nm_check_worker *workers;
    uint32_t n_workers, cap_workers;
    uint64_t letters;
    struct nm_plan *plan; /* NULL: the settings do not tell */
    uint64_t entities;
    uint32_t *covered;   /* (entities): as recorded, less what tasks account for */
    uint32_t *again;     /* (entities): the same of extra tasks */
    uint64_t generation; /* of the run */
    bool mixed;          /* samples of an earlier one count */
    uint64_t n_extra;    /* records of them */
    struct nm_plan_task asked;
};

void nm_check_fails(struct nm_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *nm_check_db_name(enum nm_check_db db);

/* ledger_sums.c - what is recorded, before the walk; each thing found in it; and what is left over after it */
enum nm_err nm_check_load(struct nm_check *c, struct nm_txn *txn);
void nm_check_number(struct nm_check *c, uint64_t task);
void nm_check_count_rule(struct nm_check *c, struct nm_str name);
enum nm_err nm_check_cover(struct nm_check *c, struct nm_txn *txn, const struct nm_queue_task *t);
enum nm_err nm_check_sums(struct nm_check *c, struct nm_txn *txn);
void nm_check_clean_up(struct nm_check *c);

#endif
