/* llm_target.h - what llm.c needs to see of a target.  Internal: the one header that names curl's types. */
#ifndef NM_GENERATOR_LLM_TARGET_H
#define NM_GENERATOR_LLM_TARGET_H

#include <curl/curl.h>

#include "workers/generator/llm.h"

struct nm_llm_target {
    char *url;    /* the whole one, with user and query where given */
    char *models; /* the same server's list of models */
    char *shown;  /* for people */
    char *proxy;  /* "": none; NULL: as the environment says */
    char *ca_file;
    struct curl_slist *headers;
    struct curl_slist *secrets; /* never in what comes back */
    int64_t connect_timeout_ms, first_byte_timeout_ms, stall_timeout_ms, timeout_ms;
};

#endif
