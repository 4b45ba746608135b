#include "workers/trainer/scores_json.h"

#include <string.h>

static json_t *ratios(double precision, double recall, double f1)
{
    return json_pack("{s:f, s:f, s:f}", "precision", precision, "recall", recall, "f1", f1);
}

static json_t *score_json(const struct nm_score *s)
{
    json_t *root = ratios(s->precision, s->recall, s->f1);
    json_object_set_new(root, "correct", json_integer((json_int_t)s->correct));
    json_object_set_new(root, "predicted", json_integer((json_int_t)s->predicted));
    json_object_set_new(root, "gold", json_integer((json_int_t)s->gold));
    return root;
}

static double share(size_t part, size_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

json_t *nm_scores_json(const struct nm_scores *scores, char *const *types)
{
    json_t *root = score_json(&scores->micro), *by_type = json_object();
    for (size_t i = 0; i < scores->n_types; i++)
        json_object_set_new(by_type, types[i], score_json(&scores->types[i]));
    json_object_set_new(root, "types", by_type);
    json_object_set_new(root, "words", json_integer((json_int_t)scores->words));
    json_object_set_new(root, "word_accuracy", json_real(share(scores->right_words, scores->words)));
    return root;
}

static json_t *overlap_json(const struct nm_evaluation *e, char *const *types)
{
    const struct nm_overlap *micro = &e->overlap[e->n_types];
    json_t *root = ratios(micro->precision, micro->recall, micro->f1), *by_type = json_object();
    for (size_t i = 0; i < e->n_types; i++)
        json_object_set_new(by_type, types[i],
                            ratios(e->overlap[i].precision, e->overlap[i].recall, e->overlap[i].f1));
    json_object_set_new(root, "types", by_type);
    return root;
}

static json_t *found_json(const struct nm_found *f)
{
    return json_pack("{s:I, s:I, s:f}", "gold", (json_int_t)f->gold, "found", (json_int_t)f->found, "recall",
                     share(f->found, f->gold));
}

/* {gold: {predicted: words}}, zeros left out. */
static json_t *confusion_json(const struct nm_evaluation *e, char *const *types)
{
    const size_t n = e->n_types + 1;
    json_t *root = json_object();
    for (size_t g = 0; g < n; g++) {
        json_t *row = json_object();
        for (size_t p = 0; p < n; p++)
            if (e->confusion[g * n + p] > 0)
                json_object_set_new(row, p < e->n_types ? types[p] : "O",
                                    json_integer((json_int_t)e->confusion[g * n + p]));
        json_object_set_new(root, g < e->n_types ? types[g] : "O", row);
    }
    return root;
}

static json_t *calibration_json(const struct nm_evaluation *e)
{
    json_t *bins = json_array();
    for (size_t i = 0; i < NM_CALIBRATION_BINS; i++) {
        const double words = e->bins[i].words > 0 ? (double)e->bins[i].words : 1;
        json_array_append_new(bins,
                              json_pack("{s:I, s:f, s:f}", "words", (json_int_t)e->bins[i].words, "probability",
                                        e->bins[i].probability / words, "right", (double)e->bins[i].right / words));
    }
    return json_pack("{s:f, s:o}", "error", e->calibration_error, "bins", bins);
}

json_t *nm_evaluation_json(const struct nm_evaluation *e, char *const *types)
{
    json_t *root = nm_scores_json(&e->exact, types), *mistakes = json_object();
    json_object_set_new(root, "iob2_strict", ratios(e->iob2.micro.precision, e->iob2.micro.recall, e->iob2.micro.f1));
    json_object_set_new(root, "overlap", overlap_json(e, types));
    if (e->known != NULL) {
        json_object_set_new(root, "seen", found_json(&e->seen));
        json_object_set_new(root, "unseen", found_json(&e->unseen));
    }
    json_object_set_new(root, "confusion", confusion_json(e, types));
    json_object_set_new(root, "calibration", calibration_json(e));
    for (enum nm_mistake_kind kind = NM_MISTAKE_MISSED; kind <= NM_MISTAKE_TYPE; kind++)
        json_object_set_new(mistakes, nm_mistake_name(kind), json_integer((json_int_t)e->mistakes[kind]));
    json_object_set_new(root, "mistakes", mistakes);
    return root;
}

/* ---- for people ------------------------------------------------------------------------------- */

void nm_scores_print(const struct nm_scores *scores, char *const *types, FILE *out)
{
    int width = 8;
    for (size_t i = 0; i < scores->n_types; i++)
        width = (int)strlen(types[i]) > width ? (int)strlen(types[i]) : width;
    fprintf(out, "%*s  precision  recall      F1  support\n", width, "");
    for (size_t i = 0; i <= scores->n_types; i++) {
        const struct nm_score *s = i < scores->n_types ? &scores->types[i] : &scores->micro;
        fprintf(out, "%*s     %.4f  %.4f  %.4f  %7zu\n", width, i < scores->n_types ? types[i] : "all", s->precision,
                s->recall, s->f1, s->gold);
    }
}

static void print_confusion(const struct nm_evaluation *e, char *const *types, FILE *out)
{
    const size_t n = e->n_types + 1;
    fputs("\nwords, gold by predicted:\n            ", out);
    for (size_t p = 0; p < n; p++)
        fprintf(out, " %10.10s", p < e->n_types ? types[p] : "O");
    for (size_t g = 0; g < n; g++) {
        fprintf(out, "\n  %10.10s", g < e->n_types ? types[g] : "O");
        for (size_t p = 0; p < n; p++)
            fprintf(out, " %10zu", e->confusion[g * n + p]);
    }
    fputc('\n', out);
}

void nm_evaluation_print(const struct nm_evaluation *e, char *const *types, FILE *out)
{
    const struct nm_overlap *o = &e->overlap[e->n_types];
    nm_scores_print(&e->exact, types, out);
    fprintf(out, "\nIOB2 by the letter: P %.4f  R %.4f  F1 %.4f\n", e->iob2.micro.precision, e->iob2.micro.recall,
            e->iob2.micro.f1);
    fprintf(out, "any word shared:    P %.4f  R %.4f  F1 %.4f\n", o->precision, o->recall, o->f1);
    fprintf(out, "words right:        %.4f of %zu\n", share(e->exact.right_words, e->exact.words), e->exact.words);
    if (e->known != NULL)
        fprintf(out, "recall of entities seen before: %.4f of %zu; unseen: %.4f of %zu\n",
                share(e->seen.found, e->seen.gold), e->seen.gold, share(e->unseen.found, e->unseen.gold),
                e->unseen.gold);
    if (e->calibration_error > 0)
        fprintf(out, "calibration error:  %.4f (0: a word tagged with 0.9 is right nine times in ten)\n",
                e->calibration_error);
    fprintf(out, "mistakes:           %zu missed, %zu spurious, %zu with wrong ends, %zu of the wrong type\n",
            e->mistakes[NM_MISTAKE_MISSED], e->mistakes[NM_MISTAKE_SPURIOUS], e->mistakes[NM_MISTAKE_BOUNDARY],
            e->mistakes[NM_MISTAKE_TYPE]);
    print_confusion(e, types, out);
}
