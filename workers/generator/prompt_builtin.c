/* prompt_builtin.c - the template for a project that brings none.
 *
 * Three examples and hardly a rule: a model of 135M parameters talks about rules ("This sentence contains ...") and
 * imitates examples.  What is the same for every call stands first, so that a server reuses its cache.
 */
#include "workers/generator/prompt.h"

const char *nm_prompt_builtin(void)
{
    return "%system\n"
           "You are an author of {{domain}} articles. For the terms you are given, answer with one factual statement "
           "out of such an article. Copy every term letter by letter. Answer in plain text, with the statement "
           "alone.\n"
           "{{#definitions}}\n{{definitions}}{{/definitions}}\n"
           "%user\n"
           "Terms: \"lisinopril\", \"hypertension\"{{#style}}\nStyle: a report of a finding with numbers{{/style}}\n"
           "%assistant\n"
           "In a trial of 212 adults with hypertension, lisinopril lowered systolic pressure by 14 mmHg after eight "
           "weeks.\n"
           "%user\n"
           "Terms: none{{#style}}\nStyle: a plain statement of fact{{/style}}\n"
           "%assistant\n"
           "Blood samples were taken at baseline and after four weeks and were read by two independent observers.\n"
           "%user\n"
           "Terms: \"neutropenia\"{{#style}}\nStyle: a description of a single case{{/style}}\n"
           "%assistant\n"
           "Severe neutropenia developed in six of 45 patients during the second cycle and resolved within ten "
           "days.\n"
           "%user\n"
           "{{#negative}}Terms: none (no {{types}}){{/negative}}"
           "{{^negative}}Terms: {{entities}}{{/negative}}"
           "{{#section}}\nSection: {{section}}{{/section}}"
           "{{#style}}\nStyle: {{style}}{{/style}}"
           "{{#words}}\nLength: {{words}} words{{/words}}"
           "{{#feedback}}\nNot like your last answer: {{detail}} ({{rule}})."
           "{{#previous}} It was: {{previous}}{{/previous}}{{/feedback}}\n";
}
