#include "schemas/folded.h"

#include <stdbool.h>

#include "common/hash.h"
#include "common/utf8.h"

static bool is_word_char(int32_t cp)
{
    if (cp < 128)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9');
    return nm_utf8_is_letter(cp) || nm_utf8_is_digit(cp) || nm_utf8_is_mark(cp);
}

static int32_t lower(int32_t cp)
{
    if (cp < 128)
        return cp >= 'A' && cp <= 'Z' ? cp + ('a' - 'A') : cp;
    return nm_utf8_lower(cp);
}

/* FNV-1a over code points, mixed at its end: words are short, and a call for each would cost more than the hashing.
 */
enum nm_err nm_folded_split(struct nm_str text, struct nm_arena *arena, struct nm_folded_text *words)
{
    const uint64_t fnv_start = 0xcbf29ce484222325;
    const uint64_t fnv_prime = 0x100000001b3;
    uint64_t hash = fnv_start;
    size_t point = 0;
    bool inside = false;
    words->n = 0;
    words->at = nm_arena_alloc(arena, (text.len / 2 + 1) * sizeof *words->at);
    if (!words->at)
        return NM_ENOMEM;
    for (size_t i = 0; i < text.len; point++) {
        int32_t cp = (unsigned char)text.ptr[i];
        int bytes = cp < 128 ? 1 : nm_utf8_next(text.ptr + i, text.len - i, &cp);
        if (bytes < 0)
            return NM_EFORMAT;
        i += (size_t)bytes;
        bool word = is_word_char(cp);
        if (word && !inside) {
            words->at[words->n++].start = point;
            hash = fnv_start;
        }
        if (word) {
            hash = (hash ^ (uint64_t)lower(cp)) * fnv_prime;
            words->at[words->n - 1].hash = hash;
            words->at[words->n - 1].end = point + 1;
        }
        inside = word;
    }
    for (size_t i = 0; i < words->n; i++)
        words->at[i].hash = nm_mix64(words->at[i].hash);
    return NM_OK;
}

uint64_t nm_folded_hash(const struct nm_folded_word *words, size_t n, uint64_t seed)
{
    uint64_t hash = nm_mix64(seed + n);
    for (size_t i = 0; i < n; i++)
        hash = nm_mix64(hash ^ words[i].hash) + i;
    return hash;
}
