#include "cli/page.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/embedded.h"
#include "cli/page_parts.h"

enum { BARS_MAX = 24 };

/* What is at a dotted path of the document; NULL: nothing. */
static const json_t *at(const json_t *report, const char *path)
{
    char key[64];
    while (report != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        (void)snprintf(key, sizeof key, "%.*s", (int)len, path);
        report = json_object_get(report, key);
        path += len + (path[len] == '.');
    }
    return report;
}

/* A figure as people read it, that says which one it is and what its value is. */
static void figure(struct nm_page *page, const json_t *report, const char *path, bool share)
{
    const json_t *value = at(report, path);
    if (!json_is_number(value)) {
        nm_page_figure(page, NULL, false);
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    nm_page_addf(page, "<data data-figure=\"%s\" value=\"%s\">", path, text != NULL ? text : "");
    nm_page_figure(page, value, share);
    nm_page_add(page, "</data>");
    free(text);
}

struct row {
    const char *name, *path, *why; /* path: within the part of data and gold alike */
    bool share;
};

static void add_tile(struct nm_page *page, const json_t *report, const char *what, const char *path, bool share)
{
    nm_page_add(page, "<li><b>");
    figure(page, report, path, share);
    nm_page_addf(page, "</b><span class=\"what\">%s</span></li>", what);
}

static void begin_section(struct nm_page *page, const char *id, const char *title, const char *text)
{
    nm_page_addf(page, "<section id=\"%s\" aria-labelledby=\"%s-title\"><h2 id=\"%s-title\">%s</h2><p>%s</p>\n", id,
                 id, id, title, text);
}

static void end_section(struct nm_page *page)
{
    nm_page_add(page, "</section>\n");
}

/* Rows of figures with what they mean; beside them the gold sample's, where there is one. */
static void add_rows(struct nm_page *page, const json_t *report, const struct row *rows, size_t n, bool with_gold)
{
    bool gold = with_gold && json_is_object(json_object_get(report, "gold"));
    nm_page_add(page, "<table class=\"wide\"><thead><tr><th scope=\"col\">Figure</th><th scope=\"col\" "
                      "class=\"n\">This data set</th>");
    if (gold)
        nm_page_add(page, "<th scope=\"col\" class=\"n\">Gold</th>");
    nm_page_add(page, "<th scope=\"col\">What it says</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < n; i++) {
        char path[96];
        nm_page_addf(page, "<tr><th scope=\"row\">%s</th><td class=\"n\">", rows[i].name);
        figure(page, report, rows[i].path, rows[i].share);
        if (gold) {
            (void)snprintf(path, sizeof path, "gold.%s", rows[i].path);
            nm_page_add(page, "</td><td class=\"n gold\">");
            figure(page, report, path, rows[i].share);
        }
        nm_page_addf(page, "</td><td class=\"why\">%s</td></tr>\n", rows[i].why);
    }
    nm_page_add(page, "</tbody></table>\n");
}

/* ---- sections ---------------------------------------------------------------------------------------------------
 */

static void add_head(struct nm_page *page, const json_t *report)
{
    const struct nm_template_file *css = nm_embedded_find("report.css");
    nm_page_add(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>");
    nm_page_string(page, json_object_get(report, "name"));
    nm_page_add(page, " · data set report</title>\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                      "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
                      "<meta name=\"referrer\" content=\"no-referrer\"/>\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                      "'unsafe-inline'; img-src data:\"/>\n"
                      "<link rel=\"icon\" href=\"data:,\"/>\n<style>\n");
    if (page->err == NM_OK)
        page->err = nm_buf_add(page->out, css->data, css->len);
    nm_page_add(page, "</style>\n</head>\n<body>\n<header>\n<h1>");
    nm_page_string(page, json_object_get(report, "name"));
    nm_page_add(page, "</h1>\n<p class=\"sub\">Data set report");
    if (json_is_string(json_object_get(report, "run"))) {
        nm_page_add(page, " · ");
        nm_page_string(page, json_object_get(report, "run"));
    }
    nm_page_add(page, " · ");
    nm_page_string(page, json_object_get(report, "created"));
    nm_page_add(page,
                "</p>\n<nav aria-label=\"Sections\"><a href=\"#entities\">Entities</a><a href=\"#shape\">Shape</a>"
                "<a href=\"#diversity\">Diversity</a><a href=\"#repetition\">Repetition and leakage</a>"
                "<a href=\"#generation\">Generation and cost</a><a href=\"#samples\">Samples</a></nav>\n");
    nm_page_add(page, "<ul class=\"tiles\">");
    add_tile(page, report, "samples", "counts.samples", false);
    add_tile(page, report, "mentions", "counts.mentions", false);
    add_tile(page, report, "different entities", "coverage.entities", false);
    add_tile(page, report, "of tokens masked", "counts.masked_share", true);
    add_tile(page, report, "near duplicates", "duplicates.near_share", true);
    add_tile(page, report, "cost of 1,000 samples", "generation.cost_per_1000", false);
    nm_page_add(page, "</ul>\n</header>\n<main>\n");
}

static void add_frequent(struct nm_page *page, const json_t *report)
{
    size_t i;
    const json_t *entity;
    nm_page_add(page,
                "<figure><figcaption>Most frequent entities</figcaption><div class=\"scroll\"><table><thead><tr>"
                "<th scope=\"col\">Entity</th><th scope=\"col\">Type</th><th scope=\"col\" class=\"n\">Mentions</th>"
                "<th scope=\"col\" class=\"n\">Contexts</th></tr></thead><tbody>\n");
    json_array_foreach(at(report, "coverage.frequent"), i, entity)
    {
        nm_page_add(page, "<tr><th scope=\"row\">");
        nm_page_string(page, json_object_get(entity, "text"));
        nm_page_add(page, "</th><td>");
        nm_page_string(page, json_object_get(entity, "type"));
        nm_page_add(page, "</td><td class=\"n\">");
        nm_page_figure(page, json_object_get(entity, "mentions"), false);
        nm_page_add(page, "</td><td class=\"n\">");
        nm_page_figure(page, json_object_get(entity, "contexts"), false);
        nm_page_add(page, "</td></tr>\n");
    }
    nm_page_add(page, "</tbody></table></div></figure>\n");
}

static void add_types(struct nm_page *page, const json_t *report)
{
    struct nm_page_bar bars[BARS_MAX];
    size_t n = 0, i;
    const json_t *type;
    json_array_foreach(json_object_get(report, "types"), i, type)
    {
        if (n < BARS_MAX)
            bars[n++] = (struct nm_page_bar){json_string_value(json_object_get(type, "type")),
                                             json_integer_value(json_object_get(type, "mentions"))};
    }
    nm_page_bars(page, n < i ? "Mentions of the first types" : "Mentions of each type", bars, n, true);
}

static void add_missing(struct nm_page *page, const json_t *report)
{
    size_t i;
    const json_t *entity, *missing = at(report, "coverage.lists.first_missing");
    if (json_array_size(missing) == 0)
        return;
    nm_page_add(page, "<p class=\"note\">On the lists, but in no sample yet, among others: ");
    json_array_foreach(missing, i, entity)
    {
        nm_page_add(page, i > 0 ? ", " : "");
        nm_page_string(page, json_object_get(entity, "text"));
    }
    nm_page_add(page, ".</p>\n");
}

static void add_entities(struct nm_page *page, const json_t *report)
{
    static const struct row rows[] = {
        {"Entities", "coverage.entities", "Different names that are labelled, case aside", false},
        {"Mentions of an entity", "coverage.mentions_per_entity", "On average", false},
        {"Contexts of an entity", "coverage.contexts_per_entity",
         "Different surroundings (two words on each side), on average: what a tagger learns from", false},
        {"In one context only", "coverage.one_context_share", "Of the entities", true},
        {"Of the lists seen", "coverage.lists.seen_share", "Listed entities that at least one sample mentions", true},
        {"Out of list", "coverage.out_of_list_share", "Of the mentions: labelled, but on none of the project's lists",
         true},
        {"Masked", "counts.masked_share",
         "Of the tokens: may be an entity or not, and is left out of the training's loss", true},
        {"Masked spans", "counts.masked_spans", "How many there are", false},
    };
    const struct nm_page_series mentions = {"entities", at(report, "coverage.mentions")};
    const struct nm_page_series contexts = {"entities", at(report, "coverage.contexts")};
    begin_section(page, "entities", "Entities",
                  "How often each one is mentioned, and in how many different surroundings.");
    add_rows(page, report, rows, sizeof rows / sizeof *rows, false);
    add_missing(page, report);
    nm_page_add(page, "<div class=\"charts\">\n");
    nm_page_histogram(page, "How often an entity is mentioned", "mentions", &mentions, 1);
    nm_page_histogram(page, "In how many contexts it stands", "contexts", &contexts, 1);
    if (json_array_size(json_object_get(report, "types")) > 0) {
        add_types(page, report);
        add_frequent(page, report);
    }
    nm_page_add(page, "</div>\n");
    end_section(page);
}

static void add_histogram(struct nm_page *page, const json_t *report, const char *title, const char *unit,
                          const char *path)
{
    char own[64], gold[64];
    (void)snprintf(own, sizeof own, "%s.bins", path);
    (void)snprintf(gold, sizeof gold, "gold.%s.bins", path);
    const struct nm_page_series series[] = {{"this data set", at(report, own)}, {"gold", at(report, gold)}};
    nm_page_histogram(page, title, unit, series, json_is_array(at(report, gold)) ? 2 : 1);
}

static void add_shape(struct nm_page *page, const json_t *report)
{
    static const struct row rows[] = {
        {"Samples", "counts.samples", "", false},
        {"Mean length", "length.mean", "In tokens", false},
        {"Nine in ten are at most", "length.p90", "Tokens long", false},
        {"Entities a sample", "entities_per_sample.mean", "On average, masked ones aside", false},
        {"Samples without an entity", "counts.samples_without_entity", "A tagger needs some, to learn what is none",
         false},
    };
    begin_section(
        page, "shape", "Shape",
        "Where synthetic text differs from real text in length and density, a tagger learns the difference.");
    add_rows(page, report, rows, sizeof rows / sizeof *rows, true);
    nm_page_add(page, "<div class=\"charts\">\n");
    add_histogram(page, report, "Length of a sample", "tokens", "length");
    add_histogram(page, report, "Entities in a sample", "entities", "entities_per_sample");
    nm_page_add(page, "</div>\n");
    end_section(page);
}

static void add_diversity(struct nm_page *page, const json_t *report)
{
    static const struct row rows[] = {
        {"Distinct-1", "diversity.distinct_1", "Different words among all words: more is more varied", false},
        {"Distinct-2", "diversity.distinct_2", "The same for pairs of words", false},
        {"Distinct-3", "diversity.distinct_3", "And for three in a row", false},
        {"Self-BLEU", "diversity.self_bleu", "How well each sample is predicted by the others: less is more varied",
         false},
        {"Compression ratio", "diversity.compression_ratio",
         "How much smaller the text gets when packed: less is more varied", false},
        {"Long repetition", "diversity.self_repetition_share",
         "Samples that share eight words in a row with another one", true},
        {"Taken of", "diversity.samples", "Samples, chosen at random: these figures compare only between as many",
         false},
    };
    begin_section(page, "diversity", "Diversity", "How much the sentences differ from each other.");
    add_rows(page, report, rows, sizeof rows / sizeof *rows, true);
    end_section(page);
}

static void add_repetition(struct nm_page *page, const json_t *report)
{
    static const struct row rows[] = {
        {"Exact duplicates", "duplicates.exact_share", "Samples of the same words as an earlier one", true},
        {"Near duplicates", "duplicates.near_share",
         "Samples with another one of a similarity of 0.8 or more (Jaccard, word 5-grams)", true},
        {"Templates used again", "duplicates.template_share",
         "Samples with an entity that are the same as another one but for their entities", true},
        {"Largest template", "duplicates.largest_template", "Samples of it", false},
        {"Leaked", "leakage.share",
         "Samples that repeat a sentence of the test sets or the gold file, or a long run of its words", true},
        {"Words in a row", "leakage.words", "That are not to be shared; shorter sentences not as a whole", false},
        {"Gold sentences", "leakage.gold_sentences", "Compared with", false},
    };
    begin_section(page, "repetition", "Repetition and leakage",
                  "What is here twice teaches nothing new; what is in the test as well makes its scores worthless.");
    add_rows(page, report, rows, sizeof rows / sizeof *rows, false);
    end_section(page);
}

static void add_generation(struct nm_page *page, const json_t *report)
{
    static const struct row rows[] = {
        {"Calls answered", "generation.calls", "By the language model", false},
        {"Accepted", "generation.accepted_share", "Of the answers", true},
        {"Rejected", "generation.rejected", "By the rules below", false},
        {"Without an answer", "generation.failures", "Calls that failed", false},
        {"Tokens of prompts", "generation.tokens_in", "As the endpoints counted them", false},
        {"Tokens of answers", "generation.tokens_out", "", false},
        {"Cost", "generation.cost", "In the currency of the project's prices", false},
        {"Cost of 1,000 samples", "generation.cost_per_1000", "", false},
    };
    struct nm_page_bar bars[BARS_MAX];
    size_t n = 0, i;
    const json_t *rule;
    begin_section(page, "generation", "Generation and cost",
                  "What it took to make these samples, over the whole run.");
    if (!json_is_object(json_object_get(report, "generation"))) {
        nm_page_add(page, "<p class=\"none\">Not measured: this data set was not made by a run that is here.</p>\n");
        end_section(page);
        return;
    }
    add_rows(page, report, rows, sizeof rows / sizeof *rows, false);
    json_array_foreach(at(report, "generation.rejected_by_rule"), i, rule)
    {
        if (n < BARS_MAX)
            bars[n++] = (struct nm_page_bar){json_string_value(json_object_get(rule, "rule")),
                                             json_integer_value(json_object_get(rule, "count"))};
    }
    if (n > 0) {
        nm_page_add(page, "<div class=\"charts\">");
        nm_page_bars(page, "Answers rejected by each rule", bars, n, false);
        nm_page_add(page, "</div>\n");
    }
    end_section(page);
}

static void add_samples(struct nm_page *page, const json_t *report)
{
    begin_section(page, "samples", "Samples", "Chosen at random, with their labels.");
    nm_page_samples(page, json_object_get(report, "samples"));
    end_section(page);
}

enum nm_err nm_page_report(const json_t *report, struct nm_buf *out)
{
    struct nm_page page = {.out = out, .types = json_object_get(report, "types")};
    add_head(&page, report);
    add_entities(&page, report);
    add_shape(&page, report);
    add_diversity(&page, report);
    add_repetition(&page, report);
    add_generation(&page, report);
    add_samples(&page, report);
    nm_page_add(&page, "</main>\n<footer><p>Made by ");
    nm_page_string(&page, json_object_get(report, "software"));
    nm_page_add(&page, ". The same figures as JSON: nermill report --json.</p></footer>\n</body>\n</html>\n");
    return page.err;
}
