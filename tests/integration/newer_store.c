/* newer_store DIR KIND SCHEMA - make a store as a later nermill would: what today's must refuse in words. */
#include <stdio.h>
#include <stdlib.h>

#include "common/store.h"

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: newer_store DIR KIND SCHEMA\n", stderr);
        return 2;
    }
    struct nm_store *store = NULL;
    struct nm_diag diag = {""};
    const struct nm_store_options options = {
        .path = argv[1], .kind = argv[2], .schema = (uint32_t)strtoul(argv[3], NULL, 10)};
    enum nm_err err = nm_store_open(&options, &store, NULL, &diag);
    if (err != NM_OK)
        fprintf(stderr, "%s\n", diag.text);
    nm_store_close(&store);
    return err == NM_OK ? 0 : 1;
}
