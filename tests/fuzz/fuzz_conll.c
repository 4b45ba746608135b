/* The CoNLL reader never crashes, and what it accepts is in order: sentences with words, tags in BIO of its types. */
#include <stdint.h>
#include <stdlib.h>

#include "common/utf8.h"
#include "workers/trainer/corpus.h"
#include "workers/trainer/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct nm_corpus *corpus)
{
    size_t words = 0;
    for (size_t s = 0; s < corpus->n; s++) {
        const struct nm_sentence *sentence = &corpus->sentences[s];
        int32_t before = NM_TAG_O;
        if (sentence->n == 0)
            abort();
        for (size_t i = 0; i < sentence->n; i++) {
            int32_t tag = sentence->tags[i];
            if (sentence->words[i].len == 0 || !nm_utf8_valid(sentence->words[i].text, sentence->words[i].len, NULL))
                abort();
            if (tag < NM_TAG_MASKED || tag > NM_TAG_I(corpus->n_types))
                abort();
            if (nm_tag_is_entity(tag) && !nm_tag_is_begin(tag) &&
                (!nm_tag_is_entity(before) || nm_tag_type(before) != nm_tag_type(tag)))
                abort(); /* an orphan was left */
            before = tag;
        }
        words += sentence->n;
    }
    if (words != corpus->n_words)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int tagged = 0; tagged < 2; tagged++) {
        struct nm_corpus corpus;
        struct nm_diag diag = {""};
        nm_corpus_init(&corpus);
        enum nm_err err = nm_corpus_parse_conll(&corpus, "fuzz", (const char *)data, size, tagged != 0, &diag);
        if (err == NM_OK)
            check(&corpus);
        else if (diag.text[0] == '\0')
            abort(); /* an error without words */
        nm_corpus_clean_up(&corpus);
    }
    return 0;
}
