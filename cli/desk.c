/* desk.c - the operator's commands: one request to the stats socket of a live broker, its answer for people or as it
 * is. */
#include "cli/desk.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/stats.h"
#include "common/buf.h"
#include "common/net.h"

enum { ANSWER_MAX = 16 << 20, TIMEOUT_MS = 10000, OPTIONS = 12 };

static const char text_where[] = "It acts on a running broker within a second and holds over a restart of it; the\n"
                                 "broker's log tells who asked.\n";

/* One command on its way: what was given on the command line, and the request that is made of it. */
struct desk {
    const char *command;
    const char *endpoint, *state; /* --stats, --state */
    bool json;
    const char *own; /* the argument behind PROJECT; NULL: none */
    json_t *request;
    struct nm_stats_client *client;
    struct nm_buf answer;
};

static json_t *asker(void)
{
    char host[256] = "";
    const struct passwd *user = getpwuid(getuid());
    (void)gethostname(host, sizeof host - 1);
    json_t *by = json_object();
    json_object_set_new(by, "user", json_string(user != NULL ? user->pw_name : "unnamed"));
    json_object_set_new(by, "host", json_string(host));
    json_object_set_new(by, "pid", json_integer(getpid()));
    return by;
}

/* ---- the exchange ------------------------------------------------------------------------------------------------
 */

/* Send the request, read the answer.  NM_EINVAL: the broker refused it. */
static enum nm_err ask(struct desk *d, json_t **answer, struct nm_diag *diag)
{
    *answer = NULL;
    enum nm_err err = nm_stats_request(d->client, d->request, TIMEOUT_MS, &d->answer, diag);
    if (err != NM_OK)
        return err;
    *answer = json_loadb(nm_buf_str(&d->answer), d->answer.len, JSON_ALLOW_NUL, NULL);
    const char *refused = json_string_value(json_object_get(*answer, "error"));
    if (!json_is_object(*answer))
        err = nm_fail(diag, NM_EFORMAT, "the broker's answer is no JSON object; is it of another version?");
    else if (refused != NULL)
        err = nm_fail(diag, NM_EINVAL, "%s", refused);
    if (err != NM_OK) {
        json_decref(*answer);
        *answer = NULL;
    }
    return err;
}

/* Ask once and print; "kick all" is asked again until nothing is left. */
static enum nm_err ask_and_print(struct desk *d, struct nm_diag *diag)
{
    json_t *answer;
    enum nm_err err;
    json_int_t kicked = 0, one;
    for (;;) {
        err = ask(d, &answer, diag);
        if (err != NM_OK)
            return err;
        one = json_integer_value(json_object_get(answer, "kicked"));
        kicked += one;
        bool again = json_is_true(json_object_get(d->request, "all")) && one > 0 &&
                     json_integer_value(json_object_get(answer, "left")) > 0;
        if (!again)
            break;
        json_decref(answer);
    }
    if (json_object_get(answer, "kicked") != NULL)
        json_object_set_new(answer, "kicked", json_integer(kicked));
    if (d->json) {
        json_dumpf(answer, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
        putchar('\n');
    } else {
        nm_desk_print(d->command, answer);
    }
    json_decref(answer);
    return NM_OK;
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void print_window(const json_t *answer)
{
    const json_t *text = json_object_get(answer, "body");
    const char *hex = json_string_value(json_object_get(answer, "body_hex"));
    if (text != NULL)
        (void)fwrite(json_string_value(text), 1, json_string_length(text), stdout);
    for (; hex != NULL && hex[0] != '\0' && hex[1] != '\0'; hex += 2)
        (void)putchar(hex_digit(hex[0]) * 16 + hex_digit(hex[1]));
}

/* The raw body of one attempt, window by window, to the byte. */
static enum nm_err print_body(struct desk *d, struct nm_diag *diag)
{
    json_int_t offset = 0, total = 0;
    do {
        json_t *answer;
        json_object_set_new(d->request, "offset", json_integer(offset));
        enum nm_err err = ask(d, &answer, diag);
        if (err != NM_OK)
            return err;
        const json_t *text = json_object_get(answer, "body"), *hex = json_object_get(answer, "body_hex");
        json_int_t got = (json_int_t)(text != NULL ? json_string_length(text) : json_string_length(hex) / 2);
        total = json_integer_value(json_object_get(answer, "total"));
        print_window(answer);
        json_decref(answer);
        if (got == 0)
            break;
        offset += got;
    } while (offset < total);
    return NM_OK;
}

/* ---- the command line ---------------------------------------------------------------------------------------------
 */

enum own { OWN_NONE, OWN_TASK, OWN_TASK_OR_ALL };

/* PROJECT stands first unless --stats is given; behind it, the command's own argument. */
static int take_arguments(struct desk *d, enum own own, bool optional, size_t n, char **argv, const char **project)
{
    size_t before = d->endpoint != NULL ? 0 : 1, most = before + (own != OWN_NONE);
    size_t least = before + (own != OWN_NONE && !optional);
    *project = before > 0 && n > 0 ? argv[1] : NULL;
    if (n < least || n > most) {
        fprintf(stderr, "nermill %s: %s (see nermill %s --help)\n", d->command,
                n < least ? "an argument is missing" : "too many arguments", d->command);
        return NM_EXIT_USAGE;
    }
    d->own = n > before ? argv[1 + before] : NULL;
    return -1;
}

static bool set_task(struct desk *d)
{
    char *end = NULL;
    unsigned long long task = strtoull(d->own, &end, 10);
    if (d->own[0] < '0' || d->own[0] > '9' || *end != '\0' || task > INT64_MAX)
        return false;
    json_object_set_new(d->request, "task", json_integer((json_int_t)task));
    return true;
}

static int usage_error(const struct desk *d, const char *what)
{
    fprintf(stderr, "nermill %s: %s (see nermill %s --help)\n", d->command, what, d->command);
    return NM_EXIT_USAGE;
}

static enum nm_err connect_and(struct desk *d, const char *project,
                               enum nm_err (*act)(struct desk *, struct nm_diag *), struct nm_diag *diag)
{
    struct nm_endpoints found = {.run = ""};
    if (d->endpoint == NULL) {
        enum nm_err err = nm_stats_find(project, d->state, &found, diag);
        if (err != NM_OK)
            return err;
        d->endpoint = found.stats;
    }
    nm_buf_init(&d->answer, ANSWER_MAX);
    nm_net_init();
    enum nm_err err = nm_stats_open(d->endpoint, found.run, &d->client, diag);
    if (err == NM_OK)
        err = act(d, diag);
    nm_stats_close(&d->client);
    nm_net_clean_up();
    nm_buf_clean_up(&d->answer);
    return err;
}

/* What the options of one command become in the request; NULL: nothing.  A complaint is for the user. */
typedef const char *(*fill_fn)(struct desk *d);

static int run(struct desk *d, const struct nm_command *own_command, enum own own, bool optional, fill_fn fill,
               enum nm_err (*act)(struct desk *, struct nm_diag *), int argc, char **argv)
{
    struct nm_opt opts[OPTIONS] = {
        {0, "stats", NM_OPT_TEXT, &d->endpoint, "ENDPOINT",
         "ask this stats socket (tcp://host:port), without PROJECT"},
        {0, "state", NM_OPT_TEXT, &d->state, "DIR", "the run's state directory (default: PROJECT's run/)"},
        {0, "json", NM_OPT_FLAG, &d->json, NULL, "the broker's answer as it is"},
    };
    size_t n_opts = 3, n = 0;
    struct nm_command command = *own_command;
    for (size_t i = 0; i < command.n_opts; i++)
        opts[n_opts++] = command.opts[i];
    command.opts = opts;
    command.n_opts = n_opts;
    command.max_args = 2;
    if (command.text == NULL)
        command.text = text_where;
    d->command = command.name;
    int code = nm_opts_parse(&command, argc, argv, &n);
    const char *project = NULL;
    if (code < 0)
        code = take_arguments(d, own, optional, n, argv, &project);
    if (code >= 0)
        return code;
    struct nm_diag diag = {""};
    d->request = json_pack("{s:s, s:o}", "command", d->command, "by", asker());
    const char *wrong = own == OWN_TASK && !set_task(d) ? "TASK is a number" : fill != NULL ? fill(d) : NULL;
    if (wrong != NULL) {
        json_decref(d->request);
        return usage_error(d, wrong);
    }
    enum nm_err err = connect_and(d, project, act, &diag);
    json_decref(d->request);
    return err == NM_OK ? NM_EXIT_OK : nm_complain(d->command, err, &diag);
}

/* ---- the commands -------------------------------------------------------------------------------------------------
 */

static const char *option_endpoint, *option_why;
static uint64_t option_samples, option_from, option_count, option_body;
static bool option_rejected;

static const char *fill_endpoint(struct desk *d)
{
    if (option_endpoint != NULL)
        json_object_set_new(d->request, "endpoint", json_string(option_endpoint));
    return NULL;
}

static int run_switch(const char *name, const char *summary, int argc, char **argv)
{
    struct desk d = {0};
    const struct nm_opt opts[] = {
        {0, "endpoint", NM_OPT_TEXT, &option_endpoint, "NAME", "only this endpoint of the project"}};
    struct nm_command command = {
        .name = name, .usage = "PROJECT | --stats ENDPOINT [options]", .summary = summary, .opts = opts, .n_opts = 1};
    return run(&d, &command, OWN_NONE, false, fill_endpoint, ask_and_print, argc, argv);
}

int nm_command_pause(int argc, char **argv)
{
    return run_switch("pause", "Give generators nothing new; what they are at is finished.", argc, argv);
}

int nm_command_resume(int argc, char **argv)
{
    return run_switch("resume", "Go on after pause or drain.", argc, argv);
}

int nm_command_drain(int argc, char **argv)
{
    struct desk d = {0};
    struct nm_command command = {.name = "drain",
                                 .usage = "PROJECT | --stats ENDPOINT [options]",
                                 .summary = "Open no more tasks, and finish those that are open."};
    return run(&d, &command, OWN_NONE, false, NULL, ask_and_print, argc, argv);
}

/* The limits that are numbers; as they stand in the request. */
static const char *limit_texts[6];
static const char *const limit_keys[] = {"concurrency",     "requests_per_minute", "tokens_per_minute",
                                         "budget_requests", "budget_tokens",       "budget_money"};
enum { LIMITS = sizeof limit_keys / sizeof *limit_keys, OF_ENDPOINT = 3, MONEY = 5 };

static const char *fill_limit(struct desk *d)
{
    bool any = option_samples > 0;
    if (option_samples > INT64_MAX)
        return "--samples is too large";
    if (any)
        json_object_set_new(d->request, "samples", json_integer((json_int_t)option_samples));
    for (int i = 0; i < LIMITS; i++) {
        char *end = NULL;
        if (limit_texts[i] == NULL)
            continue;
        double value = strtod(limit_texts[i], &end);
        if (limit_texts[i][0] < '0' || limit_texts[i][0] > '9' || *end != '\0')
            return "a limit is a number";
        if (i < OF_ENDPOINT && option_endpoint == NULL)
            return "--endpoint NAME is needed with that limit";
        json_object_set_new(d->request, limit_keys[i],
                            i == MONEY ? json_real(value)
                                       : json_integer((json_int_t)strtoll(limit_texts[i], NULL, 10)));
        any = true;
    }
    return any ? fill_endpoint(d) : "a limit is needed";
}

int nm_command_limit(int argc, char **argv)
{
    struct desk d = {0};
    const struct nm_opt opts[] = {
        {0, "samples", NM_OPT_COUNT, &option_samples, "N", "the goal of the run"},
        {0, "endpoint", NM_OPT_TEXT, &option_endpoint, "NAME", "whose limits the next three are"},
        {0, "concurrency", NM_OPT_TEXT, &limit_texts[0], "N", "calls at once, of all generators"},
        {0, "requests-per-minute", NM_OPT_TEXT, &limit_texts[1], "N", "0: no limit"},
        {0, "tokens-per-minute", NM_OPT_TEXT, &limit_texts[2], "N", "0: no limit"},
        {0, "budget-requests", NM_OPT_TEXT, &limit_texts[3], "N", "of the whole run; 0: no limit"},
        {0, "budget-tokens", NM_OPT_TEXT, &limit_texts[4], "N", "of the whole run; 0: no limit"},
        {0, "budget-money", NM_OPT_TEXT, &limit_texts[5], "X", "of the whole run; 0: no limit"},
    };
    struct nm_command command = {
        .name = "limit",
        .usage = "PROJECT | --stats ENDPOINT [--samples N] [--endpoint NAME --concurrency N ...] [options]",
        .summary = "Set limits of a live run.",
        .text =
            "They act on a running broker within a second, and each holds over a restart of it until project.yaml\n"
            "says another thing than when it was set; the broker's log tells who asked.\n",
        .opts = opts,
        .n_opts = sizeof opts / sizeof *opts};
    return run(&d, &command, OWN_NONE, false, fill_limit, ask_and_print, argc, argv);
}

static const char *fill_dead(struct desk *d)
{
    if (option_from > INT64_MAX || option_count > INT64_MAX)
        return "that number is too large";
    json_object_set_new(d->request, "from", json_integer((json_int_t)option_from));
    if (option_count > 0)
        json_object_set_new(d->request, "limit", json_integer((json_int_t)option_count));
    return NULL;
}

int nm_command_dead(int argc, char **argv)
{
    struct desk d = {0};
    const struct nm_opt opts[] = {
        {0, "from", NM_OPT_COUNT, &option_from, "TASK", "from this task on (default: the first)"},
        {'n', "limit", NM_OPT_COUNT, &option_count, "N", "so many at most (default 20, at most 200)"}};
    struct nm_command command = {.name = "dead",
                                 .usage = "PROJECT | --stats ENDPOINT [options]",
                                 .summary = "List dead letters: tasks that were given up, and why.",
                                 .text = "nermill peek shows one in full, nermill kick tries again.\n",
                                 .opts = opts,
                                 .n_opts = 2};
    return run(&d, &command, OWN_NONE, false, fill_dead, ask_and_print, argc, argv);
}

static const char *fill_coverage(struct desk *d)
{
    if (option_rejected)
        json_object_set_new(d->request, "rejected", json_true());
    return fill_dead(d);
}

int nm_command_coverage(int argc, char **argv)
{
    struct desk d = {0};
    const struct nm_opt opts[] = {
        {0, "rejected", NM_OPT_FLAG, &option_rejected, NULL, "only entities with a rejected answer"},
        {0, "from", NM_OPT_COUNT, &option_from, "ENTITY", "from this one on, by its place in the lists (default: 0)"},
        {'n', "limit", NM_OPT_COUNT, &option_count, "N", "so many at most (default 20, at most 1000)"}};
    struct nm_command command = {.name = "coverage",
                                 .usage = "PROJECT | --stats ENDPOINT [options]",
                                 .summary = "What each entity has had: asked for, accepted, rejected by which rule.",
                                 .text = "A look changes nothing.\n",
                                 .opts = opts,
                                 .n_opts = 3};
    return run(&d, &command, OWN_NONE, false, fill_coverage, ask_and_print, argc, argv);
}

static const char *fill_body(struct desk *d)
{
    if (option_body > 0)
        json_object_set_new(d->request, "body", json_integer((json_int_t)option_body));
    return NULL;
}

static enum nm_err peek(struct desk *d, struct nm_diag *diag)
{
    return option_body > 0 && !d->json ? print_body(d, diag) : ask_and_print(d, diag);
}

int nm_command_peek(int argc, char **argv)
{
    struct desk d = {0};
    const struct nm_opt opts[] = {
        {0, "body", NM_OPT_COUNT, &option_body, "ATTEMPT", "only the raw HTTP body of that attempt's answer"}};
    struct nm_command command = {.name = "peek",
                                 .usage = "PROJECT TASK | --stats ENDPOINT TASK [options]",
                                 .summary = "Everything about one task: its state, its worker, every answer.",
                                 .text = "A look changes nothing.\n",
                                 .opts = opts,
                                 .n_opts = 1};
    return run(&d, &command, OWN_TASK, false, fill_body, peek, argc, argv);
}

static const char *fill_kick(struct desk *d)
{
    if ((d->own != NULL) == (option_count > 0))
        return "one of TASK, all or -n N is needed";
    if (option_count > INT64_MAX)
        return "that number is too large";
    if (d->own == NULL)
        json_object_set_new(d->request, "count", json_integer((json_int_t)option_count));
    else if (strcmp(d->own, "all") == 0)
        json_object_set_new(d->request, "all", json_true());
    else if (!set_task(d))
        return "TASK is a number";
    return NULL;
}

int nm_command_kick(int argc, char **argv)
{
    struct desk d = {0};
    const struct nm_opt opts[] = {{'n', "count", NM_OPT_COUNT, &option_count, "N",
                                   "so many at most (10,000 at once): the dead, then the delayed"}};
    struct nm_command command = {.name = "kick",
                                 .usage =
                                     "PROJECT (TASK | all | -n N) | --stats ENDPOINT (TASK | all | -n N) [options]",
                                 .summary = "Dead and delayed tasks are ready again, with attempts anew.",
                                 .opts = opts,
                                 .n_opts = 1};
    return run(&d, &command, OWN_TASK_OR_ALL, true, fill_kick, ask_and_print, argc, argv);
}

static const char *fill_why(struct desk *d)
{
    if (option_why != NULL)
        json_object_set_new(d->request, "why", json_string(option_why));
    return NULL;
}

int nm_command_bury(int argc, char **argv)
{
    struct desk d = {0};
    const struct nm_opt opts[] = {
        {0, "why", NM_OPT_TEXT, &option_why, "WORDS", "the reason, for whoever reads nermill dead"}};
    struct nm_command command = {.name = "bury",
                                 .usage = "PROJECT TASK | --stats ENDPOINT TASK [options]",
                                 .summary = "An open task becomes a dead letter by hand.",
                                 .opts = opts,
                                 .n_opts = 1};
    return run(&d, &command, OWN_TASK, false, fill_why, ask_and_print, argc, argv);
}

int nm_command_workers(int argc, char **argv)
{
    struct desk d = {0};
    struct nm_command command = {.name = "workers",
                                 .usage = "PROJECT | --stats ENDPOINT [options]",
                                 .summary = "Who works for the run, and who has.",
                                 .text = "A look changes nothing.\n"};
    return run(&d, &command, OWN_NONE, false, NULL, ask_and_print, argc, argv);
}
