/* batch_command.h - "nermill-generator batch ...": options, exit code. */
#ifndef NM_GENERATOR_BATCH_COMMAND_H
#define NM_GENERATOR_BATCH_COMMAND_H

/* nm_batch_command - argv from "batch" on; returns the exit code. */
int nm_batch_command(int argc, char **argv);

#endif
