#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/utf8.h"
#include "workers/trainer/wordpiece_impl.h"

enum { FILE_MAX = 256 << 20, PATH_SIZE = 4096, VOCAB_MAX = 1 << 24 };

/* What is being loaded, and from where: for the messages. */
struct loader {
    struct nm_wordpiece *wp;
    const char *path;
    struct nm_trie_key *keys; /* borrowing their text */
    size_t n_keys;
    const char *unk, *cls, *sep;
    const char *prefix;
    size_t prefix_len;
    struct nm_diag *diag;
};

static enum nm_err no_memory(struct nm_diag *diag, const char *path)
{
    return nm_fail(diag, NM_ENOMEM, "%s: out of memory", path);
}

/* ---- common end ------------------------------------------------------------------------------ */

static int32_t added_id(const struct nm_wordpiece *wp, const char *content)
{
    for (size_t i = 0; i < wp->n_added; i++)
        if (strcmp(wp->added[i].content, content) == 0)
            return (int32_t)wp->added[i].id;
    return -1;
}

static enum nm_err find_special(const struct loader *l, const char *name, bool in_vocab, uint32_t *id)
{
    int32_t value = nm_trie_find(&l->wp->trie, NM_TRIE_ROOT, name, strlen(name));
    if (value < 0 && !in_vocab)
        value = added_id(l->wp, name);
    if (value < 0)
        return nm_fail(l->diag, NM_EFORMAT, "%s: the vocabulary has no %s: is this a BERT vocabulary?", l->path,
                       name);
    *id = (uint32_t)value;
    return NM_OK;
}

static enum nm_err finish(struct loader *l)
{
    struct nm_wordpiece *wp = l->wp;
    if (l->n_keys == 0)
        return nm_fail(l->diag, NM_EFORMAT, "%s: the vocabulary is empty", l->path);
    for (size_t i = 0; i < l->n_keys; i++)
        if ((size_t)l->keys[i].value >= wp->vocab_size)
            wp->vocab_size = (size_t)l->keys[i].value + 1;
    for (size_t i = 0; i < wp->n_added; i++)
        if (wp->added[i].id >= wp->vocab_size)
            wp->vocab_size = (size_t)wp->added[i].id + 1;
    enum nm_err err = nm_trie_build(&wp->trie, l->keys, l->n_keys);
    if (err == NM_ELIMIT)
        return nm_fail(l->diag, NM_EFORMAT, "%s: a token of the vocabulary is over 1024 bytes long", l->path);
    if (err != NM_OK)
        return no_memory(l->diag, l->path);
    wp->inside = NM_TRIE_ROOT;
    for (size_t i = 0; i < l->prefix_len; i++)
        wp->inside = nm_trie_step(&wp->trie, wp->inside, (unsigned char)l->prefix[i]);
    err = find_special(l, l->unk, true, &wp->unk);
    if (err == NM_OK)
        err = find_special(l, l->cls, false, &wp->cls);
    if (err == NM_OK)
        err = find_special(l, l->sep, false, &wp->sep);
    if (err == NM_OK && nm_wordpiece_prepare(wp) != NM_OK)
        err = no_memory(l->diag, l->path);
    return err;
}

static enum nm_err add_key(struct loader *l, const char *key, size_t len, int64_t value)
{
    if (value < 0 || value >= VOCAB_MAX)
        return nm_fail(l->diag, NM_EFORMAT, "%s: token \"%.*s\" has the id %lld, which is out of range", l->path,
                       (int)(len < 60 ? len : 60), key, (long long)value);
    l->keys[l->n_keys++] = (struct nm_trie_key){.key = key, .len = len, .value = (int32_t)value};
    return NM_OK;
}

static struct nm_added_token *add_token(struct loader *l, const char *content, size_t len, uint32_t id)
{
    struct nm_added_token *grown = realloc(l->wp->added, (l->wp->n_added + 1) * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    l->wp->added = grown;
    struct nm_added_token *token = &grown[l->wp->n_added];
    *token = (struct nm_added_token){.content = strndup(content, len), .len = len, .id = id};
    if (token->content == NULL)
        return NULL;
    l->wp->n_added++;
    return token;
}

static enum nm_err read_json(const char *path, struct nm_buf *buf, json_t **root, struct nm_diag *diag)
{
    enum nm_err err = nm_file_read(path, buf, diag);
    if (err != NM_OK)
        return err;
    json_error_t error;
    *root = json_loadb(nm_buf_str(buf), buf->len, JSON_ALLOW_NUL, &error);
    if (*root == NULL)
        return nm_fail(diag, NM_EFORMAT, "%s:%d: not valid JSON: %s", path, error.line, error.text);
    return NM_OK;
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

static bool flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static const char *string(const json_t *object, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? value : otherwise;
}

static enum nm_err read_normalizer(struct loader *l, const json_t *root)
{
    const json_t *n = json_object_get(root, "normalizer");
    if (n == NULL || json_is_null(n))
        return NM_OK; /* all options off */
    const char *type = string(n, "type", "?");
    if (strcmp(type, "BertNormalizer") != 0)
        return nm_fail(l->diag, NM_EFORMAT, "%s: normalizer \"%s\": only BertNormalizer is supported", l->path, type);
    struct nm_normalizer_options *o = &l->wp->options;
    o->clean_text = flag(n, "clean_text", true);
    o->handle_chinese_chars = flag(n, "handle_chinese_chars", true);
    o->lowercase = flag(n, "lowercase", true);
    o->strip_accents = flag(n, "strip_accents", o->lowercase);
    return NM_OK;
}

static enum nm_err read_added(struct loader *l, const json_t *root)
{
    const json_t *list = json_object_get(root, "added_tokens"), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        const json_t *content = json_object_get(entry, "content"), *id = json_object_get(entry, "id");
        if (!json_is_string(content) || !json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= VOCAB_MAX)
            return nm_fail(l->diag, NM_EFORMAT, "%s: added_tokens[%zu] has no content or no usable id", l->path, i);
        size_t len = json_string_length(content);
        if (len == 0)
            continue;
        struct nm_added_token *token =
            add_token(l, json_string_value(content), len, (uint32_t)json_integer_value(id));
        if (token == NULL)
            return no_memory(l->diag, l->path);
        token->single_word = flag(entry, "single_word", false);
        token->lstrip = flag(entry, "lstrip", false);
        token->rstrip = flag(entry, "rstrip", false);
        token->normalized = flag(entry, "normalized", true);
    }
    return NM_OK;
}

static enum nm_err read_model(struct loader *l, json_t *root)
{
    json_t *model = json_object_get(root, "model");
    json_t *vocab = json_object_get(model, "vocab");
    const char *type = string(model, "type", json_is_object(vocab) ? "WordPiece" : "?");
    if (strcmp(type, "WordPiece") != 0 || !json_is_object(vocab))
        return nm_fail(l->diag, NM_EFORMAT, "%s: model \"%s\": only WordPiece is supported", l->path, type);
    l->unk = string(model, "unk_token", "[UNK]");
    l->prefix = string(model, "continuing_subword_prefix", "##");
    l->prefix_len = json_string_length(json_object_get(model, "continuing_subword_prefix"));
    if (json_object_get(model, "continuing_subword_prefix") == NULL)
        l->prefix_len = 2;
    json_int_t max = json_integer_value(json_object_get(model, "max_input_chars_per_word"));
    l->wp->max_chars = max > 0 ? (size_t)max : 100;
    l->keys = calloc(json_object_size(vocab) + 1, sizeof(*l->keys));
    if (l->keys == NULL)
        return no_memory(l->diag, l->path);
    const char *key;
    size_t len;
    json_t *id;
    enum nm_err err = NM_OK;
    json_object_keylen_foreach(vocab, key, len, id)
    {
        err = add_key(l, key, len, json_is_integer(id) ? json_integer_value(id) : -1);
        if (err != NM_OK)
            break;
    }
    return err;
}

/* [CLS] and [SEP] by the names that the post-processor gives them. */
static void read_post_processor(struct loader *l, const json_t *root)
{
    const json_t *post = json_object_get(root, "post_processor");
    const char *type = string(post, "type", "");
    if (strcmp(type, "BertProcessing") == 0) {
        const char *cls = json_string_value(json_array_get(json_object_get(post, "cls"), 0));
        const char *sep = json_string_value(json_array_get(json_object_get(post, "sep"), 0));
        l->cls = cls != NULL ? cls : l->cls;
        l->sep = sep != NULL ? sep : l->sep;
        return;
    }
    const json_t *single = json_object_get(post, "single");
    size_t n = json_array_size(single);
    if (n < 2)
        return;
    l->cls = string(json_object_get(json_array_get(single, 0), "SpecialToken"), "id", l->cls);
    l->sep = string(json_object_get(json_array_get(single, n - 1), "SpecialToken"), "id", l->sep);
}

static enum nm_err load_json(struct loader *l)
{
    struct nm_buf buf;
    nm_buf_init(&buf, FILE_MAX);
    json_t *root = NULL;
    enum nm_err err = read_json(l->path, &buf, &root, l->diag);
    if (err == NM_OK)
        err = read_normalizer(l, root);
    if (err == NM_OK) {
        const char *type = string(json_object_get(root, "pre_tokenizer"), "type", "none");
        if (strcmp(type, "BertPreTokenizer") != 0)
            err = nm_fail(l->diag, NM_EFORMAT, "%s: pre_tokenizer \"%s\": only BertPreTokenizer is supported",
                          l->path, type);
    }
    if (err == NM_OK)
        err = read_added(l, root);
    if (err == NM_OK)
        err = read_model(l, root);
    if (err == NM_OK) {
        read_post_processor(l, root);
        err = finish(l);
    }
    json_decref(root);
    nm_buf_clean_up(&buf);
    return err;
}

/* ---- vocab.txt ------------------------------------------------------------------------------- */

static enum nm_err read_lines(struct loader *l, const struct nm_buf *buf)
{
    size_t lines = 1, bad = 0;
    for (size_t i = 0; i < buf->len; i++)
        lines += buf->data[i] == '\n';
    l->keys = calloc(lines, sizeof(*l->keys));
    if (l->keys == NULL)
        return no_memory(l->diag, l->path);
    const char *at = nm_buf_str(buf), *end = at + buf->len;
    for (int64_t id = 0; at < end; id++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline != NULL ? newline : end) - at);
        if (!nm_utf8_valid(at, len, &bad))
            return nm_fail(l->diag, NM_EFORMAT, "%s:%lld: not UTF-8", l->path, (long long)id + 1);
        while (len > 0 && strchr(" \t\r\f\v", at[len - 1]) != NULL)
            len--;
        enum nm_err err = add_key(l, at, len, id);
        if (err != NM_OK)
            return err;
        at = newline != NULL ? newline + 1 : end;
    }
    return NM_OK;
}

/* tokenizer_config.json beside the vocabulary, where there is one. */
static enum nm_err read_config(struct loader *l, struct nm_buf *buf, json_t **root)
{
    char dir[PATH_SIZE], path[PATH_SIZE];
    if (nm_file_dirname(l->path, dir, sizeof(dir)) != NM_OK ||
        nm_file_join(dir, "tokenizer_config.json", path, sizeof(path)) != NM_OK)
        return nm_fail(l->diag, NM_ELIMIT, "%s: the path is too long", l->path);
    if (nm_file_exists(path)) {
        enum nm_err err = read_json(path, buf, root, l->diag);
        if (err != NM_OK)
            return err;
    }
    struct nm_normalizer_options *o = &l->wp->options;
    o->clean_text = true;
    o->lowercase = flag(*root, "do_lower_case", true);
    o->handle_chinese_chars = flag(*root, "tokenize_chinese_chars", true);
    o->strip_accents = flag(*root, "strip_accents", o->lowercase);
    l->unk = string(*root, "unk_token", l->unk);
    l->cls = string(*root, "cls_token", l->cls);
    l->sep = string(*root, "sep_token", l->sep);
    return NM_OK;
}

/* transformers makes the five special tokens added tokens: they are cut out before normalisation. */
static enum nm_err add_specials(struct loader *l, const json_t *config)
{
    const char *names[] = {l->unk, l->cls, l->sep, string(config, "pad_token", "[PAD]"),
                           string(config, "mask_token", "[MASK]")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(names[i]);
        for (size_t k = 0; k < l->n_keys; k++)
            if (l->keys[k].len == len && memcmp(l->keys[k].key, names[i], len) == 0) {
                if (len > 0 && add_token(l, names[i], len, (uint32_t)l->keys[k].value) == NULL)
                    return no_memory(l->diag, l->path);
                break;
            }
    }
    return NM_OK;
}

static enum nm_err load_vocab(struct loader *l)
{
    struct nm_buf buf, config_buf;
    nm_buf_init(&buf, FILE_MAX);
    nm_buf_init(&config_buf, FILE_MAX);
    json_t *config = NULL;
    l->wp->max_chars = 100;
    l->prefix = "##";
    l->prefix_len = 2;
    enum nm_err err = nm_file_read(l->path, &buf, l->diag);
    if (err == NM_OK)
        err = read_lines(l, &buf);
    if (err == NM_OK)
        err = read_config(l, &config_buf, &config);
    if (err == NM_OK)
        err = add_specials(l, config);
    if (err == NM_OK)
        err = finish(l);
    json_decref(config);
    nm_buf_clean_up(&config_buf);
    nm_buf_clean_up(&buf);
    return err;
}

/* ---- entry ----------------------------------------------------------------------------------- */

static enum nm_err find_file(const char *path, char *file, size_t size, struct nm_diag *diag)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return nm_fail(diag, nm_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return (size_t)snprintf(file, size, "%s", path) < size
                   ? NM_OK
                   : nm_fail(diag, NM_ELIMIT, "%s: the path is too long", path);
    static const char *const names[] = {"tokenizer.json", "vocab.txt"};
    for (size_t i = 0; i < 2; i++)
        if (nm_file_join(path, names[i], file, size) == NM_OK && nm_file_exists(file))
            return NM_OK;
    return nm_fail(diag, NM_ENOENT,
                   "%s: neither tokenizer.json nor vocab.txt is there; give a Hugging Face BERT directory", path);
}

enum nm_err nm_wordpiece_load(struct nm_wordpiece **out, const char *path, struct nm_diag *diag)
{
    char file[PATH_SIZE];
    enum nm_err err = find_file(path, file, sizeof(file), diag);
    if (err != NM_OK)
        return err;
    struct nm_wordpiece *wp = calloc(1, sizeof(*wp));
    if (wp == NULL)
        return no_memory(diag, file);
    struct loader l = {.wp = wp, .path = file, .unk = "[UNK]", .cls = "[CLS]", .sep = "[SEP]", .diag = diag};
    size_t len = strlen(file);
    err = len >= 5 && strcmp(file + len - 5, ".json") == 0 ? load_json(&l) : load_vocab(&l);
    free(l.keys);
    if (err != NM_OK)
        nm_wordpiece_destroy(&wp);
    else
        *out = wp;
    return err;
}
