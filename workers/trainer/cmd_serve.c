/* cmd_serve.c - nermill-trainer serve. */
#include <getopt.h>
#include <stdio.h>

#include "common/log.h"
#include "workers/trainer/commands.h"
#include "workers/trainer/serve.h"

static const char help[] =
    "usage: nermill-trainer serve --model DIR [--bind ADDRESS] [--port N] [options]\n"
    "\n"
    "Answers HTTP: POST {\"text\": \"...\"} or {\"texts\": [...]} to /v1/tag; GET /health and /metrics "
    "(Prometheus).\n"
    "Requests that wait together are tagged together. It has no authentication: bind it to an address that only "
    "those\n"
    "reach who may, or put a proxy before it. Ends on SIGTERM or Ctrl-C, when what it was asked is answered.\n"
    "\n"
    "  --model DIR    a trained model\n"
    "  --bind A       an IPv4 or IPv6 address (127.0.0.1)\n"
    "  --port N       (8080; 0: any free one, which it prints)\n"
    "  --constrained  the best tags that are BIO, not each word's best\n"
    "  --min-score X  only entities of this score and more (as the model says)\n"
    "  --threads N    (as many as there are cores)\n"
    "  --precision P  fp32 or bf16 (fp32)\n";

static const char *bound;

static void say_ready(uint16_t port)
{
    printf("serving on %s port %u\n", bound, port);
    fflush(stdout);
}

static int run(struct nm_serve *serve, const struct nm_tagger_options *how)
{
    struct nm_diag diag = {""};
    struct nm_tagger tagger = {0};
    enum nm_err err = nm_tagger_load(&tagger, serve->model, how, &diag);
    serve->tagger = &tagger;
    serve->stop = &nm_command_stop;
    serve->ready = say_ready;
    bound = serve->bind;
    nm_command_catch_signals();
    if (err == NM_OK)
        err = nm_serve_run(serve, &diag);
    nm_tagger_clean_up(&tagger);
    serve->tagger = NULL;
    return err == NM_OK ? NM_EXIT_OK : nm_command_fail("serve", err, &diag);
}

int nm_command_serve(int argc, char **argv)
{
    static const struct option options[] = {{"model", required_argument, NULL, 'm'},
                                            {"bind", required_argument, NULL, 'b'},
                                            {"port", required_argument, NULL, 'p'},
                                            {"constrained", no_argument, NULL, 'c'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"precision", required_argument, NULL, 'P'},
                                            {"min-score", required_argument, NULL, 'M'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct nm_serve serve = {.bind = "127.0.0.1", .port = 8080};
    struct nm_tagger_options how = {.lasting = true};
    uint64_t threads = 0, port = serve.port;
    double min_score;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == 'm')
            serve.model = optarg;
        else if (o == 'b')
            serve.bind = optarg;
        else if (o == 'c')
            how.constrained = true;
        else if (o == 'p' && !nm_option_count(optarg, 65535, &port))
            return nm_command_usage("serve", "--port: \"%s\" is not a number in its range", optarg);
        else if (o == 't' && !nm_option_count(optarg, 4096, &threads))
            return nm_command_usage("serve", "--threads: \"%s\" is not a number in its range", optarg);
        else if (o == 'P' && !nm_option_precision(optarg, &how.precision))
            return nm_command_usage("serve", "--precision: \"%s\" is neither fp32 nor bf16", optarg);
        else if (o == 'M') {
            if (!nm_option_share(optarg, &min_score))
                return nm_command_usage("serve", "--min-score: \"%s\" is not a number from 0 to 1", optarg);
            how.min_score = &min_score;
        } else if (o == 'h') {
            fputs(help, stdout);
            return NM_EXIT_OK;
        } else if (o == '?')
            return NM_EXIT_USAGE;
    }
    if (optind < argc)
        return nm_command_usage("serve", "\"%s\" is not an option", argv[optind]);
    if (serve.model == NULL)
        return nm_command_usage("serve", "--model is missing");
    serve.port = (uint16_t)port;
    how.n_threads = (size_t)threads;
    return run(&serve, &how);
}
