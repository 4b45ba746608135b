#include "common/nearest.h"

#include <string.h>

enum { WORD_MAX = 64 };

size_t nm_edit_distance(const char *a, const char *b)
{
    size_t n = strnlen(a, WORD_MAX), m = strnlen(b, WORD_MAX);
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[m];
}

size_t nm_nearest_reach(const char *word)
{
    return strnlen(word, WORD_MAX) / 3 + 2;
}

const char *nm_nearest(const char *word, const char *const *words, size_t n)
{
    const char *nearest = NULL;
    size_t len = strnlen(word, WORD_MAX), best = nm_nearest_reach(word);
    for (size_t i = 0; i < n && len > 1; i++)
        if (strncmp(word, words[i], len) == 0)
            return words[i];
    for (size_t i = 0; i < n; i++) {
        size_t distance = nm_edit_distance(word, words[i]);
        if (distance < best) {
            best = distance;
            nearest = words[i];
        }
    }
    return nearest;
}
