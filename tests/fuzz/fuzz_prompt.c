/* A template file may hold anything: it is compiled or refused with a line, and renders or says why not. */
#include <stdint.h>
#include <stdlib.h>

#include "workers/generator/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct nm_prompt_pair pairs[] = {{"aspirin", "Chemical"}, {"pain", NULL}};
    struct nm_prompt_vars vars = {.entities = pairs, .n_entities = 2, .types = pairs, .n_types = 2, .style = "x"};
    struct nm_prompt *prompt;
    struct nm_diag diag = {""};
    enum nm_err err = nm_prompt_parse("t", (const char *)data, size, &prompt, &diag);
    if ((err == NM_OK) != (prompt != NULL) || (err != NM_OK && diag.text[0] == '\0'))
        abort();
    if (err != NM_OK)
        return 0;
    struct nm_arena arena;
    struct nm_prompt_text text;
    nm_arena_init(&arena, 1 << 22);
    (void)nm_prompt_render(prompt, &vars, &arena, &text);
    nm_arena_clean_up(&arena);
    nm_prompt_destroy(&prompt);
    return 0;
}
