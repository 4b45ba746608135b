/* project.h - a project.yaml, checked (owns libcyaml).
 *
 * Every string is NUL-terminated and owned by the project; absent optional ones are NULL or hold the default.
 * Paths are as written; nm_project_path makes them relative to the project's directory.  Read-only after loading,
 * so any thread.  The JSON schema of the file is project.schema.json.
 */
#ifndef NM_SCHEMAS_PROJECT_H
#define NM_SCHEMAS_PROJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "schemas/entities.h"
#include "schemas/leakage.h"

enum nm_mode { NM_MODE_PLAIN, NM_MODE_MARKUP };
enum nm_builtin { NM_BUILTIN_BIOMEDICAL, NM_BUILTIN_SCIENTIFIC }; /* the built-in templates */
enum nm_constrain { NM_CONSTRAIN_NEVER, NM_CONSTRAIN_LAST, NM_CONSTRAIN_ALWAYS };
/* When a commit is forced to the disk: before its acks, every sync_interval_ms, or by the system alone. */
enum nm_durability { NM_DURABILITY_ALWAYS, NM_DURABILITY_INTERVAL, NM_DURABILITY_OS };
/* In the order in which they are tried; NONE is the last. */
enum nm_constraint {
    NM_CONSTRAINT_AUTO,
    NM_CONSTRAINT_GRAMMAR,            /* llama.cpp's field "grammar" */
    NM_CONSTRAINT_STRUCTURED_OUTPUTS, /* vLLM's field of that name */
    NM_CONSTRAINT_RESPONSE_FORMAT,    /* OpenAI's, with a JSON schema */
    NM_CONSTRAINT_NONE
};

/* How texts are cut into tokens: as BC5CDR, as the Penn Treebank, at white space, as a given CoNLL file. */
enum nm_tokenizer_kind { NM_TOKENIZER_BIOMEDICAL, NM_TOKENIZER_PTB, NM_TOKENIZER_WHITESPACE, NM_TOKENIZER_LEARNED };
/* What becomes of a span that cannot be trusted: no label and no loss; a label all the same; the text is not used; as
 * if it were not there. */
enum nm_policy { NM_POLICY_MASK, NM_POLICY_KEEP, NM_POLICY_DROP, NM_POLICY_IGNORE };
/* `naloxone (NLX)`: NLX is nothing; two mentions; one mention; masked. */
enum nm_abbreviations {
    NM_ABBREVIATIONS_IGNORE,
    NM_ABBREVIATIONS_SEPARATE,
    NM_ABBREVIATIONS_JOINED,
    NM_ABBREVIATIONS_MASK
};

struct nm_range {
    uint32_t min, max;
};

struct nm_project_list {
    char *type;       /* "Chemical": letters, digits, '_' and '-' */
    char *file;       /* the list, relative to the project */
    char *definition; /* for the prompt; NULL: none */
};

struct nm_project_endpoint {
    char *name;           /* for messages and records */
    char *url;            /* base, up to and without /chat/completions; ${VAR} is replaced from the environment */
    char *model;          /* sent as "model" */
    char *api_key_env;    /* the environment variable that holds the key; NULL: none is sent */
    char *api_key_file;   /* or the file, of mode 0600, that holds it; relative to the project; ${VAR} is replaced */
    char *api_key_header; /* what it is sent as; NULL: as the url wants it, "Authorization" mostly */
    char *proxy;          /* "http://host:3128", "socks5h://..."; "none"; NULL: as the environment says */
    char *ca_file;        /* PEM of the authorities that are trusted here; NULL: the system's */
    char **headers;       /* (n_headers) "Name: value"; ${VAR} is replaced */
    uint32_t n_headers;
    char *extra_body;     /* a JSON object merged into every request; NULL: none */
    uint32_t concurrency; /* calls in flight, of the whole fleet */
    uint32_t max_tokens;
    double temperature, top_p;
    uint32_t timeout_s;                                                /* of a whole call */
    uint32_t connect_timeout_s, first_byte_timeout_s, stall_timeout_s; /* of its parts; the last two 0: none */
    uint32_t requests_per_minute, tokens_per_minute;                   /* of the whole fleet; 0: no limit */
    double price_in, price_out; /* money for a million tokens of prompts, of answers */
    uint32_t weight;            /* share of the calls */
    enum nm_constraint constraint;
};

struct nm_project_exemplars {
    char *file;     /* a small gold CoNLL file; NULL: none */
    uint32_t count; /* drawn from it for each prompt */
};

struct nm_project_decoys {
    char *file;   /* terms that look like entities and are none; NULL: words out of the lists do for negatives */
    double share; /* of the samples that are no negatives: they use one, too */
};

struct nm_project_generation {
    char *domain;   /* "biomedical research" */
    char *template; /* file of the prompt template; NULL: one named by builtin */
    enum nm_builtin builtin;
    enum nm_mode mode;
    char *guidelines; /* for the prompt; NULL: none */
    struct nm_project_exemplars exemplars;
    struct nm_range entities; /* in one sample that is no negative */
    double negatives;         /* share of samples that hold no entity */
    double hard_negatives;    /* share of those that are to use a word which only looks like one */
    struct nm_project_decoys decoys;
    struct nm_range words; /* in a sentence */
    uint32_t sentences_per_call;
    uint32_t attempts; /* answered calls a task may use */
    enum nm_constrain constrain;
    bool reuse;   /* a request that was answered in an earlier generation is not sent again */
    char *replay; /* the response log of another run, relative to the project: no call is made; NULL: none */
    char **styles;
    uint32_t n_styles; /* 0: the built-in list */
    char **sections;
    uint32_t n_sections;
};

/* What validation rejects; nm_project_validation_default has the defaults. */
struct nm_project_validation {
    char **off; /* rules that reject nothing */
    uint32_t n_off;
    uint32_t max_sentences;
    uint32_t repeats;         /* the same four words so often */
    uint32_t echo_words;      /* words of the prompt in a row */
    uint32_t foreign_letters; /* letters of a script that the prompt does not use */
    double distinct_words;    /* a smaller share of different words, of 16 and more */
    double compression;       /* a higher ratio of the text's length to its deflated length, of 100 bytes and more */
};

/* Sentences that one call may ask for. */
enum { NM_SENTENCES_PER_CALL_MAX = 20 };

enum nm_verify { NM_VERIFY_OFF, NM_VERIFY_MASK, NM_VERIFY_DROP };

/* A second call lists the entities of a text: what only one of the two saw is masked, or the text is dropped. */
struct nm_project_verification {
    enum nm_verify mode;
    char *endpoint; /* by name; NULL: any */
};

/* Of the whole run, hard; 0: no limit. */
struct nm_project_budget {
    double money;
    uint64_t tokens, requests;
};

struct nm_project_broker {
    char *bind, *stats, *publish; /* endpoints; "tcp://127.0.0.1:*" takes a free port */
    uint32_t lease_s, heartbeat_s;
    enum nm_durability durability;
    uint32_t sync_interval_ms; /* of NM_DURABILITY_INTERVAL */
    const char *log_level;     /* debug, info, warn or error */
};

struct nm_project_alignment {
    enum nm_tokenizer_kind tokenizer;
    char *learn_from;      /* CoNLL file of NM_TOKENIZER_LEARNED, relative to the project; else NULL */
    bool plurals, hyphens; /* `aspirins` matches aspirin, `breast-cancer` breast cancer, and the other way round */
    enum nm_abbreviations abbreviations;
    bool two_types; /* an entity may be listed under several types */
    char **prior;   /* (n_prior) types: which goes before, where nobody asked; others are masked */
    uint32_t n_prior;
    enum nm_policy unlisted;    /* told by the model, on no list */
    enum nm_policy unmarked;    /* listed, but the model, asked to mark all, did not */
    enum nm_policy conflicting; /* of two types, nested or overlapping */
    enum nm_policy cut;         /* begins or ends inside a token */
};

/* Accepted texts that are refused all the same, fleet-wide. */
struct nm_project_dedup {
    bool exact;            /* the same words */
    double near;           /* similarity of word 5-grams from which a text counts as a near duplicate; 0: none does */
    uint32_t per_template; /* texts that differ in their mentions alone; 0: any number */
};

/* Texts that a test set holds are refused. */
struct nm_project_leakage {
    char **gold; /* (n_gold) CoNLL files, relative to the project */
    uint32_t n_gold;
    uint32_t ngram; /* words in a row that no text may share with a sentence of them */
};

/* What becomes of a label that the models reject. */
enum nm_rejected_label { NM_REJECTED_DROP, NM_REJECTED_MASK, NM_REJECTED_KEEP };

/* Labels judged by taggers that have not seen them. */
struct nm_project_denoise {
    bool wanted;
    uint32_t folds, train_folds; /* the data is cut into; of those each model learns on so many */
    double agree, reject; /* share of the models that must: for an unlabelled run to be masked, a label to go */
    enum nm_rejected_label rejected;
};

/* Copies of the samples with the surface form of real text, to train on: workers/dataset/surface.h says what each
 * share is of. */
struct nm_project_augmentation {
    bool wanted;
    uint32_t copies;       /* of each sample, beside itself */
    char *asides, *decoys; /* files; NULL: none.  decoys: the generation's, if the section names none */
    double share, coordinate, abbreviate, aside, frame, decoy_share;
};

struct nm_project_trainer {
    char *model;      /* a Hugging Face directory; ${VAR} is replaced from the environment */
    char *gold_train; /* CoNLL file for the recipes that train on gold, too; NULL: none */
    uint32_t recipe;  /* 0 synthetic, 1 then, 2 joint, 3 gold: workers/trainer/recipe.h says what each field means */
    uint32_t epochs, gold_epochs, gold_steps, batch, max_length, upsample, patience;
    double learning_rate, synthetic_learning_rate, gold_learning_rate, warmup, weight_decay, clip,
        dropout; /* dropout < 0: as config.json says */
    double dev_share, label_smoothing, gce, layer_decay, min_score;
    uint64_t seed;
    uint32_t precision; /* 0 fp32, 1 bf16, 2 what the CPU is fast in */
    bool gradient_checkpointing, crf;
};

struct nm_project {
    uint32_t version; /* of the file's form: 1 */
    char *name;
    uint64_t seed;
    struct {
        uint64_t samples;        /* 0: as many as it takes to ask for each entity min_per_entity times */
        uint32_t min_per_entity; /* accepted texts of each entity; 0: no such goal */
        uint32_t give_up; /* rejected answers in a row, to tasks that ask for it alone, before it is given up */
    } goal;
    struct nm_project_list *lists; /* key "entities" */
    uint32_t n_lists;
    struct nm_project_endpoint *endpoints;
    uint32_t n_endpoints;
    struct nm_project_generation generation;
    struct nm_project_validation validation;
    struct nm_project_verification verification;
    struct nm_project_budget budget;
    struct nm_project_broker broker;
    struct {
        uint32_t shard_samples;
    } aligner;
    struct nm_project_alignment alignment;
    struct nm_project_dedup dedup;
    struct nm_project_leakage leakage;
    struct nm_project_denoise denoise;
    struct nm_project_augmentation augmentation;
    struct nm_project_trainer trainer;
    char *gold; /* CoNLL file for evaluation; NULL: none */
};

/* nm_project_load - read PATH (a project.yaml, or a directory that holds one) and check it.
 * NM_ENOENT, NM_EAUTH, NM_EIO: the file; NM_EFORMAT: bad YAML, an unknown key (the nearest valid one is named), a
 * value out of its range: file and line in diag. */
enum nm_err nm_project_load(const char *path, struct nm_project **project, struct nm_diag *diag);

/* nm_project_parse - the same from memory; name stands for the file in messages. */
enum nm_err nm_project_parse(const char *yaml, size_t len, const char *name, struct nm_project **project,
                             struct nm_diag *diag);
void nm_project_destroy(struct nm_project **project);

/* nm_project_file - the project.yaml that PATH means, into out.  NM_ELIMIT. */
enum nm_err nm_project_file(const char *path, char *out, size_t size);

/* nm_project_path - file as the project at PATH (as given to nm_project_load) means it, into out.  NM_ELIMIT. */
enum nm_err nm_project_path(const char *path, const char *file, char *out, size_t size);

/* nm_project_validation_default - as of a project that says nothing. */
struct nm_project_validation nm_project_validation_default(void);

/* nm_project_augmentation_default - as of a section that says nothing.  nm_project_augmentation_fits - what happens
 * behind a mention is no more than 1 together. */
struct nm_project_augmentation nm_project_augmentation_default(void);
bool nm_project_augmentation_fits(const struct nm_project_augmentation *how);

/* nm_project_augmentation_open - the section, its files as they can be opened: names in files, which has to stay.
 * path: as given to nm_project_load.  NM_ELIMIT. */
struct nm_augmentation_files {
    char asides[NM_FILE_PATH], decoys[NM_FILE_PATH];
};
enum nm_err nm_project_augmentation_open(const struct nm_project *project, const char *path,
                                         struct nm_augmentation_files *files, struct nm_project_augmentation *how,
                                         struct nm_diag *diag);

/* nm_constraint_name - as project.yaml and the records have it; nm_constraint_named - back again, NONE where it is
 * none. */
const char *nm_constraint_name(enum nm_constraint constraint);
enum nm_constraint nm_constraint_named(const char *name);

/* nm_project_price - millionths of money for a million tokens.  nm_project_cost_micros - what a call cost in
 * millionths of money, rounded up; both saturate. */
uint64_t nm_project_price(double price);
uint64_t nm_project_cost_micros(const struct nm_project_endpoint *endpoint, uint64_t tokens_in, uint64_t tokens_out);

/* nm_project_expand - value with every ${VAR} replaced, appended to out.  NM_ENOENT: VAR is not set; diag names
 * it and key ("endpoints: url"). */
enum nm_err nm_project_expand(const char *key, const char *value, struct nm_buf *out, struct nm_diag *diag);

/* nm_project_names_secret - the name of a header or a query parameter says that its value is one: "api-key". */
bool nm_project_names_secret(const char *name, size_t len);

/* nm_project_leakage_blob - the test sentences of the project at PATH that no text may repeat, as nm_leakage_encode
 * has them.  File errors; NM_EFORMAT: one holds no sentence; NM_ELIMIT. */
enum nm_err nm_project_leakage_blob(const struct nm_project *project, const char *path, struct nm_buf *out,
                                    struct nm_diag *diag);

/* nm_project_entities - load every list of the project at PATH.  Errors as nm_entities_load. */
enum nm_err nm_project_entities(const struct nm_project *project, const char *path, struct nm_entities **entities,
                                struct nm_diag *diag);

#endif
