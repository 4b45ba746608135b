/* config.json of anybody's making: it is refused with words, or it describes a model whose shapes fit together, and
 * what is written of it reads as the same again.  Seed: tests/golden/data/model/config.json. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workers/trainer/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *dir, struct nm_model_config *cfg)
{
    struct nm_model_config again;
    struct nm_diag diag = {""};
    if (cfg->hidden_size == 0 || cfg->n_heads == 0 || cfg->hidden_size % cfg->n_heads != 0 || cfg->vocab_size == 0 ||
        cfg->n_labels == 0 || cfg->labels == NULL)
        abort();
    if (nm_model_config_write(dir, cfg, &diag) != NM_OK || nm_model_config_read(dir, &again, &diag) != NM_OK)
        abort();
    if (again.hidden_size != cfg->hidden_size || again.n_layers != cfg->n_layers || again.n_labels != cfg->n_labels)
        abort();
    for (size_t i = 0; i < cfg->n_labels; i++)
        if (strcmp(cfg->labels[i], again.labels[i]) != 0)
            abort();
    nm_model_config_clean_up(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char dir[64], path[96];
    if (dir[0] == '\0') {
        (void)snprintf(dir, sizeof dir, "/dev/shm/nm-fuzz-%ld", (long)getpid());
        (void)snprintf(path, sizeof path, "%s/config.json", dir);
    }
    (void)mkdir(dir, 0700);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return 0;
    (void)fwrite(data, 1, size, file);
    (void)fclose(file);
    struct nm_model_config cfg;
    struct nm_diag diag = {""};
    if (nm_model_config_read(dir, &cfg, &diag) == NM_OK) {
        check(dir, &cfg);
        nm_model_config_clean_up(&cfg);
    } else if (diag.text[0] == '\0') {
        abort(); /* an error without words */
    }
    (void)unlink(path);
    (void)rmdir(dir);
    return 0;
}
