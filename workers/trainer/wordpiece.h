/* wordpiece.h - BERT's tokenizer: text to the ids that Hugging Face's tokenizers gives, id for id.
 *
 * Sources: Devlin et al. 2019; Wu et al. 2016 (WordPiece, greedy longest match first); huggingface/tokenizers:
 * added tokens, BertNormalizer, BertPreTokenizer, WordPiece, in this order.  Test: golden.wordpiece.
 * Threads: a loaded tokenizer is read-only and shared; a struct nm_pieces belongs to one thread.
 */
#ifndef NM_TRAINER_WORDPIECE_H
#define NM_TRAINER_WORDPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/trainer/normalizer.h"

struct nm_wordpiece;

/* Ids, and the scratch memory of encoding.  Zero it first; nm_pieces_clean_up last; count = 0 to reuse. */
struct nm_pieces {
    uint32_t *ids;
    size_t count, cap;
    struct nm_normal_text scratch;
};

/* nm_wordpiece_load - from a Hugging Face directory: tokenizer.json if it is there, else vocab.txt with the
 * flags of tokenizer_config.json (do_lower_case, strip_accents, tokenize_chinese_chars); or from one such
 * file.  *out is set on NM_OK only.  NM_ENOENT and other file errors; NM_EFORMAT: not JSON, not UTF-8, not a
 * BERT tokenizer (another model, normaliser or pre-tokenizer), no [UNK], [CLS] or [SEP]; NM_ENOMEM.
 */
enum nm_err nm_wordpiece_load(struct nm_wordpiece **out, const char *path, struct nm_diag *diag);
void nm_wordpiece_destroy(struct nm_wordpiece **wp);

/* nm_wordpiece_encode - append the ids of text, without [CLS] and [SEP].  NM_EFORMAT: not UTF-8 (what was
 * before the bad byte may have been appended); NM_ENOMEM. */
enum nm_err nm_wordpiece_encode(const struct nm_wordpiece *wp, const char *text, size_t len, struct nm_pieces *out)
    __attribute__((warn_unused_result));

/* nm_wordpiece_vocab_size - one above the highest id, those of added tokens among them. */
size_t nm_wordpiece_vocab_size(const struct nm_wordpiece *wp);

uint32_t nm_wordpiece_cls(const struct nm_wordpiece *wp);
uint32_t nm_wordpiece_sep(const struct nm_wordpiece *wp);

void nm_pieces_clean_up(struct nm_pieces *tokens);

#endif
