/* How a training on this run's samples goes, as its trainer tells.  Kept in memory alone: what came of a training is
 * beside its model, and one that goes on tells a broker that has just started within seconds. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "broker/broker_parts.h"
#include "broker/shapes.h"
#include "common/clock.h"

enum { SILENT_MS = 60000 }; /* scoring a large file takes a while, and nothing is told meanwhile */

static struct nm_str copy(char out[NM_NAME_MAX + 1], struct nm_str text)
{
    memcpy(out, text.ptr, text.len + 1);
    return (struct nm_str){out, text.len};
}

void nm_training_heard(struct nm_broker *b, const struct nm_msg_training *training)
{
    static const char *const states[] = {"running", "done", "stopped", "failed"};
    struct training *t = &b->training;
    bool known = false;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        known = known || strcmp(training->state.ptr, states[i]) == 0;
    if (!known) {
        b->malformed++;
        return;
    }
    if (strcmp(training->run.ptr, nm_ledger_run(b->ledger)) != 0)
        return;
    t->figures = *training;
    t->figures.state = copy(t->state, training->state);
    t->figures.host = copy(t->host, training->host);
    t->figures.scored = copy(t->scored, training->scored);
    t->seen = b->now;
}

static void set_real(json_t *o, const char *name, double value)
{
    json_object_set_new(o, name, isfinite(value) ? json_real(value) : json_null());
}

static json_t *score_json(const struct nm_msg_training *f)
{
    if (f->scored.len == 0)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "of", json_string(f->scored.ptr));
    nm_shape_set(o, "step", f->scored_step);
    set_real(o, "precision", f->precision);
    set_real(o, "recall", f->recall);
    set_real(o, "f1", f->f1);
    return o;
}

json_t *nm_training_json(const struct nm_broker *b)
{
    const struct training *t = &b->training;
    const struct nm_msg_training *f = &t->figures;
    if (t->seen == 0)
        return json_null();
    const int64_t age = nm_clock_mono_ms() - t->seen;
    const bool silent = age > SILENT_MS && strcmp(t->state, "running") == 0;
    json_t *o = json_object();
    json_object_set_new(o, "state", json_string(silent ? "silent" : t->state));
    json_object_set_new(o, "host", json_string(t->host));
    nm_shape_set(o, "pid", f->pid);
    nm_shape_set(o, "step", f->step);
    nm_shape_set(o, "steps", f->steps);
    set_real(o, "epoch", f->epoch);
    nm_shape_set(o, "epochs", f->epochs);
    set_real(o, "loss", f->loss);
    set_real(o, "learning_rate", f->learning_rate);
    set_real(o, "grad_norm", f->grad_norm);
    set_real(o, "tokens_per_s", f->tokens_per_s);
    json_object_set_new(o, "score", score_json(f));
    json_object_set_new(o, "last_seen_ms", json_integer(age));
    return o;
}
