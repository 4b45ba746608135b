/* prompt_builtin.c - the templates for a project that brings none.
 *
 * Three examples and hardly a rule: a model of 135M parameters talks about rules ("This sentence contains ...") and
 * imitates examples.  What is the same for every call stands first, so that a server reuses its cache.
 */
#include "workers/generator/prompt.h"

/* What every template begins and ends with. */
#define ROLE                                                                                                         \
    "For the terms you are given, answer with one factual statement out of such an article. Copy every term letter " \
    "by letter. {{^count}}Answer in plain text, with the statement alone.{{/count}}"                                 \
    "{{#count}}Answer in plain text, each request with its statement alone, on one line after its number.{{/count}}"
#define NOTES                                                                                                        \
    "{{#definitions}}\n{{definitions}}{{/definitions}}"                                                              \
    "{{#guidelines}}\n{{guidelines}}{{/guidelines}}\n"
#define TASK                                                                                                         \
    "%exemplars\n"                                                                                                   \
    "%user\n"                                                                                                        \
    "{{#negative}}Terms: none (no {{types}}){{/negative}}"                                                           \
    "{{^negative}}Terms: {{entities}}{{/negative}}"                                                                  \
    "{{#decoy}}\nWith the everyday word: \"{{decoy}}\"{{/decoy}}"                                                    \
    "{{#section}}\nSection: {{section}}{{/section}}"                                                                 \
    "{{#style}}\nStyle: {{style}}{{/style}}"                                                                         \
    "{{#words}}\nLength: {{words}} words{{/words}}"                                                                  \
    "{{#feedback}}\nNot like your last answer: {{detail}} ({{rule}})."                                               \
    "{{#previous}} It was: {{previous}}{{/previous}}"                                                                \
    "{{#quote}} The fault: \"{{quote}}\"{{/quote}}{{/feedback}}\n"

/* An example of ours stands only where the user has none. */
#define EXAMPLE(terms, style, answer)                                                                                \
    "%user\n{{^exemplars}}" terms "{{#style}}\nStyle: " style "{{/style}}{{/exemplars}}\n"                           \
    "%assistant\n{{^exemplars}}" answer "{{/exemplars}}\n"
#define TERM(text, type) "\"" text "\"{{#markup}} (" type "){{/markup}}"
#define MARK(text, type) "{{#markup}}[[{{/markup}}" text "{{#markup}}|" type "]]{{/markup}}"
#define MARKING(text, type)                                                                                          \
    "{{#markup}} Put every {{types}} in it, given or not, into brackets with its type: [[" text "|" type             \
    "]].{{/markup}}"

static const char biomedical[] =
    "%system\n"
    "You are an author of {{domain}} articles. " ROLE MARKING("aspirin", "Chemical") "\n" NOTES EXAMPLE(
        "Terms: " TERM("lisinopril", "Chemical") ", " TERM("hypertension", "Disease"),
        "a report of a finding with numbers",
        "In a trial of 212 adults with " MARK("hypertension", "Disease") ", " MARK(
            "lisinopril", "Chemical") " lowered systolic pressure by 14 mmHg after eight weeks.")
        EXAMPLE(
            "Terms: none", "a plain statement of fact",
            "Blood samples were taken at baseline and after four weeks and were read by two independent observers.")
            EXAMPLE("Terms: " TERM("neutropenia", "Disease"), "a description of a single case",
                    "Severe " MARK("neutropenia", "Disease") " developed in six of 45 patients during the second "
                                                             "cycle and resolved within ten days.") TASK;

static const char scientific[] =
    "%system\n"
    "You are an author of {{domain}} papers. " ROLE MARKING("question answering", "TASK") "\n" NOTES EXAMPLE(
        "Terms: " TERM("dependency parsing", "TASK") ", " TERM("LAS", "METRIC"), "a report of a finding with numbers",
        "On " MARK("dependency parsing", "TASK") ", the second encoder gains 0.8 points of " MARK(
            "LAS", "METRIC") " over the strongest baseline.")
        EXAMPLE("Terms: none", "a plain statement of fact",
                "All models were trained on a single machine, and the code is released together with the paper.")
            EXAMPLE("Terms: " TERM("CoNLL-2003", "DATASET"), "a description of a single case",
                    "We tune the learning rate on the development part of " MARK(
                        "CoNLL-2003", "DATASET") " and report the mean of five runs.") TASK;

static const char verification[] =
    "%system\n"
    "You label the text of {{domain}} articles. List every {{types}} that the text names, each on a line of its own "
    "as "
    "TYPE: words, and the words letter by letter as the text has them. Where it names none, answer: none\n" NOTES
    "%exemplars\n"
    "%user\n"
    "Text: {{text}}\n";

const char *nm_prompt_builtin(enum nm_builtin builtin)
{
    return builtin == NM_BUILTIN_SCIENTIFIC ? scientific : biomedical;
}

const char *nm_prompt_verification(void)
{
    return verification;
}
