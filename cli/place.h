/* place.h - where everything of a project and of its run on this machine is. */
#ifndef NM_CLI_PLACE_H
#define NM_CLI_PLACE_H

#include "cli/process.h"
#include "common/err.h"

struct nm_place {
    char project_file[NM_PATH_MAX]; /* .../project.yaml */
    char project_dir[NM_PATH_MAX];
    char state[NM_PATH_MAX];  /* default: project_dir/run */
    char broker[NM_PATH_MAX]; /* state/broker, and so on */
    char logs[NM_PATH_MAX];
    char data[NM_PATH_MAX];
    char model[NM_PATH_MAX];
};

/* nm_place_init - from PROJECT as the user gave it and --state (NULL: default).  Touches nothing.  NM_ELIMIT. */
enum nm_err nm_place_init(struct nm_place *place, const char *project, const char *state, struct nm_diag *diag);

/* nm_place_member - state/ROLE-NUMBER into out.  NM_ELIMIT. */
enum nm_err nm_place_member(const struct nm_place *place, const char *role, unsigned number, char *out, size_t size);

/* nm_place_members - the numbers of the ROLE-NUMBER directories in the state, ascending; returns how many (at most
 * max; a number of 0 or over 9,999 is none of ours). */
unsigned nm_place_members(const struct nm_place *place, const char *role, unsigned numbers[], unsigned max);

#endif
