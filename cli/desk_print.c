#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/desk.h"

enum { COLUMN = 11 };

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text != NULL ? text : "";
}

static long long number_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

/* Texts of models and workers come to a terminal: what could steer it is shown as a dot. */
static void put_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool control =
            c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0);
        (void)putchar(control ? '.' : c);
        if (control && c == 0xc2)
            text++;
    }
}

static void put_line(const char *name, const char *text)
{
    if (text[0] == '\0')
        return;
    printf("  %-*s", COLUMN, name);
    put_plain(text);
    (void)putchar('\n');
}

/* A text of several lines, each where the others begin. */
static void put_lines(const char *name, const char *text)
{
    char line[512];
    for (const char *end; *text != '\0'; text = end + (*end == '\n'), name = "") {
        end = text + strcspn(text, "\n");
        if (end - text >= (ptrdiff_t)sizeof line)
            end = text + sizeof line - 1;
        (void)snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
        put_line(name, line[0] != '\0' ? line : " ");
    }
}

static void put_entities(const json_t *o)
{
    size_t i;
    json_t *entity;
    const json_t *list = json_object_get(o, "entities");
    if (json_array_size(list) == 0)
        return;
    printf("  %-*s", COLUMN, "entities");
    json_array_foreach(list, i, entity)
    {
        if (i > 0)
            fputs(", ", stdout);
        put_plain(text_of(entity, "text"));
        printf(" (%s)", text_of(entity, "type"));
    }
    (void)putchar('\n');
}

static void put_failure(const json_t *failure)
{
    if (!json_is_object(failure))
        return;
    printf("  %-*s%lld calls of attempt %lld without an answer; the last: %s: ", COLUMN, "failures",
           number_of(failure, "count"), number_of(failure, "attempt"), text_of(failure, "kind"));
    put_plain(text_of(failure, "detail"));
    (void)putchar('\n');
}

/* ---- dead and peek ------------------------------------------------------------------------------------------------
 */

static void print_dead(const json_t *answer)
{
    size_t i;
    json_t *letter;
    const json_t *list = json_object_get(answer, "dead"), *next = json_object_get(answer, "next");
    printf("%lld dead letters%s\n", number_of(answer, "total"), json_array_size(list) > 0 ? ":" : "");
    json_array_foreach(list, i, letter)
    {
        printf("task %lld: %s after %lld answers, %lld failed calls\n", number_of(letter, "task"),
               text_of(letter, "rule"), number_of(letter, "attempts"), number_of(letter, "failures"));
        put_line("why", text_of(letter, "why"));
        put_line("detail", text_of(letter, "detail"));
        put_line("text", text_of(letter, "text"));
        put_entities(letter);
        put_line("hash", text_of(letter, "prompt_hash"));
        put_failure(json_object_get(letter, "error"));
    }
    if (json_is_integer(next))
        printf("more: --from %lld\n", (long long)json_integer_value(next));
}

static void print_response(const json_t *r)
{
    printf("attempt %lld: %s%s, by %s in %lld ms, HTTP %lld, %lld + %lld tokens, body of %lld bytes\n",
           number_of(r, "attempt"), json_is_true(json_object_get(r, "accepted")) ? "accepted" : "rejected, ",
           text_of(r, "rule"), text_of(r, "endpoint"), number_of(r, "latency_ms"), number_of(r, "status"),
           number_of(r, "tokens_in"), number_of(r, "tokens_out"), number_of(r, "body_bytes"));
    put_line("detail", text_of(r, "detail"));
    put_line("text", text_of(r, "text"));
    put_line("hash", text_of(r, "prompt_hash"));
    put_lines("prompt", text_of(r, "prompt"));
}

static void print_peek(const json_t *answer)
{
    size_t i;
    json_t *item;
    printf("task %lld: %s", number_of(answer, "task"), text_of(answer, "state"));
    if (json_is_integer(json_object_get(answer, "attempt")))
        printf(", attempt %lld", number_of(answer, "attempt"));
    if (text_of(answer, "worker")[0] != '\0')
        printf(", %s", text_of(answer, "worker"));
    if (json_is_integer(json_object_get(answer, "due_in_ms")))
        printf(", due in %lld ms", number_of(answer, "due_in_ms"));
    if (json_is_true(json_object_get(answer, "by_hand")))
        printf(", buried by hand");
    (void)putchar('\n');
    put_line("why", text_of(answer, "why"));
    put_entities(answer);
    put_line("style", text_of(answer, "style"));
    put_line("section", text_of(answer, "section"));
    json_array_foreach(json_object_get(answer, "responses"), i, item) print_response(item);
    json_array_foreach(json_object_get(answer, "failed_calls"), i, item) put_failure(item);
}

static void print_coverage(const json_t *answer)
{
    size_t i;
    json_t *entity, *count;
    const char *rule;
    const json_t *next = json_object_get(answer, "next");
    printf("%8s %8s %8s  entity, and the rules that rejected\n", "asked", "accepted", "rejected");
    json_array_foreach(json_object_get(answer, "entities"), i, entity)
    {
        printf("%8lld %8lld %8lld  ", number_of(entity, "asked"), number_of(entity, "accepted"),
               number_of(entity, "rejected"));
        put_plain(text_of(entity, "text"));
        printf(" (%s)", text_of(entity, "type"));
        json_object_foreach(json_object_get(entity, "rejected_by_rule"), rule, count)
            printf(", %s %lld", rule, (long long)json_integer_value(count));
        (void)putchar('\n');
    }
    if (json_is_integer(next))
        printf("more: --from %lld\n", (long long)json_integer_value(next));
}

/* ---- the others ------------------------------------------------------------------------------ */

static void print_workers(const json_t *answer)
{
    size_t i;
    json_t *worker;
    const json_t *list = json_object_get(answer, "workers");
    printf("%-9s %-28s %-9s %8s  %s\n", "role", "id", "", "at work", "host, pid, version, last heard of");
    json_array_foreach(list, i, worker)
    {
        printf("%-9s %-28s %-9s %8lld  ", text_of(worker, "role"), text_of(worker, "id"),
               json_is_true(json_object_get(worker, "connected")) ? "connected" : "away",
               number_of(worker, "in_flight"));
        put_plain(text_of(worker, "host"));
        if (json_object_get(worker, "pid") != NULL)
            printf(", %lld, %s, %.1f s ago", number_of(worker, "pid"), text_of(worker, "software"),
                   (double)number_of(worker, "last_seen_ms") / 1000.0);
        (void)putchar('\n');
    }
}

void nm_desk_print(const char *command, const json_t *answer)
{
    if (strcmp(command, "dead") == 0) {
        print_dead(answer);
    } else if (strcmp(command, "peek") == 0) {
        print_peek(answer);
    } else if (strcmp(command, "coverage") == 0) {
        print_coverage(answer);
    } else if (strcmp(command, "workers") == 0) {
        print_workers(answer);
    } else {
        if (json_object_get(answer, "kicked") != NULL)
            printf("kicked %lld; ", number_of(answer, "kicked"));
        if (json_object_get(answer, "was") != NULL)
            printf("buried, it was %s; ", text_of(answer, "was"));
        printf("the run is %s, its goal %lld samples\n", text_of(answer, "state"), number_of(answer, "goal"));
    }
}
