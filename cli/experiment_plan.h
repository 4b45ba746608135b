/* experiment_plan.h - the cells of an experiment, and the steps that lead to them.
 *
 *   LISTS --> GENERATION --> DATA [--> SURFACE] --> MODEL (synthetic) --> CELL
 *     |                                  |           \--> MODEL (then) --> CELL
 *     |                                  \--> MODEL (joint) --> CELL
 *     |        DRAW --> MODEL (gold) --> CELL
 *     |          \--> AUGMENT --> MODEL (replacement) --> CELL
 *     \--> CELL (dictionary), CELL (union, with a MODEL)
 *
 * A step's key is a hash of all that its result depends on: settings, the contents of files, the keys of the steps
 * before it, and NM_EXPERIMENT_METHOD.  Two cells that depend on the same things are one step, so what is shared is
 * done once; and a step whose product is there under its key is done.
 */
#ifndef NM_CLI_EXPERIMENT_PLAN_H
#define NM_CLI_EXPERIMENT_PLAN_H

#include "cli/experiment_corpus.h"
#include "cli/experiment_guard.h"
#include "common/arena.h"
#include "common/file.h"
#include "schemas/experiment.h"

/* Raised when a step would give another result for the same settings. */
#define NM_EXPERIMENT_METHOD 1

enum nm_exp_kind {
    NM_EXP_LISTS,
    NM_EXP_GENERATION,
    NM_EXP_DATA,    /* the first samples of a generation, judged where the project denoises */
    NM_EXP_SURFACE, /* those and copies of them, where the project augments */
    NM_EXP_DRAW,
    NM_EXP_AUGMENT,
    NM_EXP_MODEL,
    NM_EXP_CELL,
    NM_EXP_KINDS
};

/* Where a step stands among those that another one needs. */
enum { NM_EXP_NONE = -1, NM_EXP_DEPS = 4 };
enum nm_exp_dep { NM_EXP_OF_LISTS, NM_EXP_OF_DATA, NM_EXP_OF_GOLD, NM_EXP_OF_MODEL };

enum nm_exp_state { NM_EXP_LEFT, NM_EXP_RUNNING, NM_EXP_DONE, NM_EXP_FAILED };

struct nm_exp_step {
    enum nm_exp_kind kind;
    enum nm_arm arm;          /* of MODEL and CELL: what is trained, or matched */
    char key[17], choice[17]; /* choice: of CELL, the key without what it is scored on */
    int deps[NM_EXP_DEPS];    /* by enum nm_exp_dep; NM_EXP_NONE */
    uint32_t variant, draw;
    uint64_t budget, samples, gold, seed;
    bool wanted; /* a cell, or something that a cell that is left needs */
    enum nm_exp_state state;
};

/* A place of the grid; several of them may be one step. */
struct nm_exp_cell {
    uint32_t variant, draw; /* draw: from 1; 0: none */
    enum nm_arm arm;
    uint64_t budget, samples, gold, seed; /* 0: this arm has none */
    int step;
};

struct nm_exp {
    const struct nm_experiment *e;
    char state[NM_FILE_PATH];
    const char *replay; /* a directory of answers, KEY.jsonl.gz of each generation; NULL: it is asked for them */
    struct nm_guard *guard;
    struct nm_exp_corpus pool, eval;   /* what gold is drawn from; what taggers are scored on */
    size_t pool_dropped, eval_dropped; /* their sentences that stand in the test part */
    char pool_hash[33], eval_hash[33];
    struct nm_exp_step *steps; /* (n_steps) each behind those that it needs */
    size_t n_steps, steps_cap;
    struct nm_exp_cell *cells; /* (n_cells) in the order of the grid */
    size_t n_cells, cells_cap;
    struct nm_arena arena;
};

/* nm_exp_open - read the corpora past the guard, check every file that is named, write STATE/corpus, and plan. state:
 * where everything goes; replay: as in struct nm_exp.  Errors of files; NM_EAUTH: the guard's. */
enum nm_err nm_exp_open(const struct nm_experiment *e, const char *state, const char *replay, struct nm_exp *x,
                        struct nm_diag *diag);
void nm_exp_close(struct nm_exp *x);

/* nm_exp_open_test - the test part itself, behind the seal: written to STATE/corpus, and scored on. */
enum nm_err nm_exp_open_test(struct nm_exp *x, struct nm_diag *diag);

/* nm_exp_plan - cells and steps; those whose product is there are done, and what they alone need is not wanted. */
enum nm_err nm_exp_plan(struct nm_exp *x, struct nm_diag *diag);

/* nm_exp_want - the same again: what cells that are left and match pattern (fnmatch on their label; NULL: all) need.
 */
void nm_exp_want(struct nm_exp *x, const char *pattern);

/* nm_exp_draw - the order (pool.n) of a draw: its first N sentences are the N that are drawn.  NM_ENOMEM. */
enum nm_err nm_exp_draw(const struct nm_exp *x, uint32_t draw, uint32_t *order);

/* nm_exp_product - the file whose being there says that the step is done.  nm_exp_path - STATE/dir/KEYsuffix. */
enum nm_err nm_exp_product(const struct nm_exp *x, const struct nm_exp_step *step, char path[NM_FILE_PATH]);
enum nm_err nm_exp_path(const struct nm_exp *x, const char *dir, const char *key, const char *suffix,
                        char path[NM_FILE_PATH]);

/* nm_exp_min_score - of the entities that count in a variant's cell with that model: trainer.min_score, of taggers
 * that have seen synthetic sentences alone. */
double nm_exp_min_score(const struct nm_exp *x, const struct nm_exp_step *model, uint32_t variant);

/* nm_exp_cell_label - "then K=all n=1000 N=100 draw=1 seed=13", with the ablation's name before it.
 * nm_exp_step_label - of a step for people. */
void nm_exp_cell_label(const struct nm_exp *x, const struct nm_exp_cell *cell, char *out, size_t size);
void nm_exp_step_label(const struct nm_exp *x, const struct nm_exp_step *step, char *out, size_t size);

#endif
