#!/usr/bin/env python3
"""Writes data/wordpiece*: strings, and what ids Hugging Face gives them.

usage: make_wordpiece.py                      the strings (seeded: the same file every time)
       make_wordpiece.py --code-points        every code point there is, between two letters
       make_wordpiece.py --corpora DIR        the hashes of the real corpora in DIR (which are not committed)
       make_wordpiece.py --show INDEX         one string and its ids, to compare with a failing test
Needs: tokenizers (0.23.3 made the committed files).

The vocabulary, data/bert-base-uncased-vocab.txt, is that of google-research/bert's uncased BERT-base
(Apache-2.0), 30,522 entries, in the order of its ids.

wordpiece.bin: "NMWP", u32 count, then for each string: u16 length, its UTF-8, and for each of CONFIGS a u32,
the FNV-1a hash of its ids (each as three little-endian bytes) without [CLS] and [SEP].
wordpiece_code_points.txt: for each block of 4,096 code points, and for each of CONFIGS, the 64-bit hash of the ids
of a, the code point, b: so a difference in any table shows, and where.
"""
import argparse
import pathlib
import random
import struct

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

DATA = pathlib.Path(__file__).parent / "data"
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
# do_lower_case, strip_accents, tokenize_chinese_chars: as in tokenizer_config.json, and as the C test has them; and
# whether the vocabulary is BERT's, or that of all characters, under which no difference can hide behind an [UNK].
CONFIGS = [(True, None, True, "bert"), (False, None, True, "bert"), (True, False, True, "bert"),
           (False, True, False, "bert"), (True, None, True, "characters"), (True, False, True, "characters"),
           (False, None, False, "characters")]
CORPORA = ["bc5cdr/train.tsv", "bc5cdr/devel.tsv", "bc5cdr/test.tsv",
           "tdmsci/train_1500_v2.conll", "tdmsci/test_500_v2.conll"]

# Written for this test.
PROSE = """Aspirin inhibits platelet aggregation within 30 minutes of a 325-mg oral dose.
Patients with type-2 diabetes (n=1,204) received metformin 500 mg b.i.d. for 12 weeks.
The IC50 of compound 7b was 3.2 ± 0.4 µM, i.e. ~10× lower than that of the control.
5-hydroxytryptamine (5-HT) and γ-aminobutyric acid were measured by LC-MS/MS; p<0.05.
Naïve Bayes, naı̈ve Bayes and NAÏVE BAYES are one classifier in the café's résumé.
Ångström, A\u030angstro\u0308m, ÅNGSTRÖM — İstanbul, ıstanbul, ISTANBUL; Straße, STRASSE, ẞ.
Η ασπιρίνη μειώνει τον πυρετό· ΟΔΥΣΣΕΥΣ, όχι;
Аспирин снижает температуру; ёлка, Й, йод и ещё ЩУКА.
阿司匹林可以降低发热。患者每天服用100毫克。
アスピリンは熱を下げます。ガギグゲゴ、ﾊﾝｶｸ ｶﾅ。
아스피린은 열을 내린다. 각 갂 힣 \u1100\u1161\u11a8
האספירין מוריד חום. בְּרֵאשִׁית בָּרָא
الأسبرين يخفض الحرارة، وَالْعَرَبِيَّةُ ٱلْكِتَٰبُ
एस्पिरिन बुखार कम करता है। क्षत्रिय, हिन्दी, ऩ क़
แอสไพรินช่วยลดไข้ น้ำ ที่ กำ
Tiếng Việt: thuốc giảm sốt, đường huyết, Nguyễn Ế ặ
Przyjmował leki przeciwbólowe; zażółć gęślą jaźń, ŁÓDŹ.
It's the patients' own, isn't it? "Yes" — she said… ‘no’ «peut-être» „vielleicht“ 「はい」
e-mail: who@example.org, https://example.org/a?b=c&d=%20#frag, C:\\temp\\x.txt, $HOME/.cfg
if (x[i] != y->z && !done) { printf("%d\\n", a^b|c~d); } // `code`
H₂O, CO₂, x² + y³ ≤ ½·√z, 10⁻⁹ mol/L, ℃ ℉ ™ ® © № Ⅷ ⅷ ﬁ ﬂ ﬀ Ǆ ǅ ǆ
👩‍🔬 found 🧪🧬 in 🇫🇷 and 👍🏽 said 😀😃; ❤️ vs ❤ ☠️ #️⃣ 1️⃣
TNF-α/IL-1β ratio, CD4+ T-cells, Ca2+-ATPase, NF-κB, α1-antitrypsin (AAT)
[CLS] not a marker [SEP] [MASK] ed [UNK]nown [PAD] [cls] [ CLS ] [[SEP]] [unused0] ##ing # #s""".split("\n")

ALPHABETS = {
    "latin accents": [*range(0xC0, 0x250), *range(0x1E00, 0x1F00)],
    "marks": [*range(0x300, 0x370), *range(0x483, 0x488), *range(0x591, 0x5C8), *range(0x64B, 0x660),
              *range(0x1AB0, 0x1ACF), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x20F1), *range(0xFE20, 0xFE30)],
    "controls": [*range(0x00, 0x20), *range(0x7F, 0xA1), 0xAD, 0xFFFD, 0xFEFF, 0x2028, 0x2029, 0x180E],
    "zero width": [0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0x2061, 0xFE0E, 0xFE0F, 0x034F, 0x61C, 0x2066],
    "private": [*range(0xE000, 0xE010), 0xF8FF, 0xF0000, 0x10FFFD, 0xFDD0, 0xFFFF, 0x1FFFE],
    "spaces": [9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000],
    "punctuation": [*range(0x21, 0x30), *range(0x3A, 0x41), *range(0x5B, 0x61), *range(0x7B, 0x7F), 0xA1, 0xA7,
                    0xAB, 0xB6, 0xB7, 0xBB, 0xBF, *range(0x2010, 0x2060), *range(0x3000, 0x3020), 0x37E, 0x387],
    "symbols": [*range(0x2070, 0x2200), *range(0x2200, 0x2300), *range(0x2460, 0x2500), *range(0xA2, 0xB1)],
    "greek": [*range(0x370, 0x400), *range(0x1F00, 0x2000)], "cyrillic": [*range(0x400, 0x530)],
    "hebrew arabic": [*range(0x590, 0x700), *range(0xFB1D, 0xFC00), *range(0xFE70, 0xFF00)],
    "indic": [*range(0x900, 0xE00)], "thai tibetan": [*range(0xE00, 0x1000)],
    "hangul": [*range(0x1100, 0x1200), *range(0xAC00, 0xAE00), 0xD7A3],
    "cjk": [*range(0x3040, 0x3100), *range(0x4E00, 0x4F00), 0x3400, 0x4DBF, 0x4DC0, 0x9FFF, 0xF900, 0xFAFF, 0x20000,
            0x2A6DF, 0x2A6E0, 0x2A700, 0x2B73F, 0x2B820, 0x2B920, 0x2CEAF, 0x2F800, 0x2FA1F, 0x2FA20, 0x30000],
    "emoji": [*range(0x1F300, 0x1F650), *range(0x1F900, 0x1FA00), *range(0x1F1E6, 0x1F200), 0x1F3FB, 0x200D],
    "fullwidth": [*range(0xFF00, 0xFFF0)], "math letters": [*range(0x1D400, 0x1D500)],
    "kept marks": [0x302E, 0x302F, *range(0x1D165, 0x1D173), 0x1CF7, 0x16FF0, 0x20E3, 0x488, 0x5BF, 0x345, 0x31, 0x61],
    "new scripts": [*range(0x10D00, 0x10D90), *range(0x11930, 0x11960), *range(0x1E900, 0x1E960),
                    *range(0xA7C0, 0xA7E0), *range(0x1C80, 0x1C90), *range(0x10570, 0x105C0)],
}


def scalar(rng):
    """Any code point but a surrogate, low planes more often."""
    while True:
        cp = rng.randrange(rng.choice([0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000]))
        if not 0xD800 <= cp < 0xE000:
            return chr(cp)


def letters(rng, low, high):
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789") for _ in range(rng.randint(low, high)))


def strings(vocabulary):
    rng = random.Random(20240229)
    out = list(PROSE) + ["", " ", "a", "[CLS]", "[SEP][SEP]", "\u0130", "\ufffd", "#", "##", "##ing", "a" * 100,
                         "a" * 101, "é" * 100, "e\u0301" * 101, "[" * 50, "x" + "\u0300" * 300, "ab" * 100 + " c",
                         # marks that stay change places, across marks that go but not across starters that go
                         "a\u302e\U0001d165b", "a\u302e\u0301\U0001d165b", "a\u302e\u0900\U0001d165b",
                         "a\u302e\x01\U0001d165b", "a\u302e \U0001d165b", "a\u302e\U0001d165\u302e\U0001d16db"]
    words = [w for line in PROSE for w in line.split()]
    plain = [w for w in vocabulary if w.isalpha()]
    for _ in range(4000):  # sentences of real words
        out.append(" ".join(rng.choice(words if rng.random() < 0.5 else plain) for _ in range(rng.randint(1, 6))))
    for _ in range(2000):  # words glued together, in any case
        word = "".join(rng.choice(plain) for _ in range(rng.randint(2, 3)))
        out.append(rng.choice([word, word.upper(), word.title(), rng.choice("-/.,()'") .join([word[:5], word[5:]])]))
    for name, alphabet in ALPHABETS.items():  # one alphabet alone, and between letters
        for k in range(330):
            picked = [chr(rng.choice(alphabet)) for _ in range(rng.randint(1, 8))]
            out.append("".join(picked) if k % 2 else "".join(letters(rng, 0, 3) + c for c in picked))
    groups = list(ALPHABETS.values())
    for _ in range(2500):  # mixed scripts
        out.append("".join(chr(rng.choice(rng.choice(groups))) for _ in range(rng.randint(2, 14))))
    for _ in range(3500):  # any code point
        out.append("".join(scalar(rng) for _ in range(rng.randint(1, 10))))
    for _ in range(150):  # long words around the limit of 100 characters
        out.append(letters(rng, 95, 105) + rng.choice(["", " b", "é", "\u0301"]))
    for _ in range(50):
        out.append(letters(rng, 200, 200))
    for _ in range(600):  # special tokens inside text
        parts = [rng.choice(SPECIAL + ["[cls]", "[", "]", "SEP", " ", "é", rng.choice(plain)]) for _ in range(5)]
        out.append("".join(parts))
    for _ in range(1200):  # prose with noise put in
        line = list(rng.choice(PROSE))
        at = rng.randrange(max(1, len(line) - 25))
        line = line[at:at + 25]
        for _ in range(3):
            line.insert(rng.randrange(len(line) + 1), scalar(rng))
        out.append("".join(line))
    return out


def load_vocabulary():
    lines = (DATA / "bert-base-uncased-vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    return {line: i for i, line in enumerate(lines)}


def characters():
    """Every character from ! to U+1FFFF as a token, at the beginning of a word and inside it."""
    lines = list(SPECIAL)
    for cp in range(0x21, 0x20000):
        if not 0xD800 <= cp < 0xE000:
            lines += [chr(cp), "##" + chr(cp)]
    vocabulary = {}
    for i, line in enumerate(lines):
        vocabulary[line] = i
    return vocabulary


def tokenizer(vocabularies, config):
    lower, accents, cjk, which = config
    t = Tokenizer(models.WordPiece(vocabularies[which], unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=cjk, strip_accents=accents,
                                              lowercase=lower)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return t


def id_bytes(ids):
    return b"".join(i.to_bytes(3, "little") for i in ids)


def fnv32(ids):
    h = 2166136261
    for byte in id_bytes(ids):
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def fnv64(ids, h=14695981039346656037):
    for byte in id_bytes(ids):
        h = (h ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return h


def corpus_hash(t, path):
    """Ids of every sentence twice: its words joined by spaces, then word by word."""
    h, n = fnv64([]), 0
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        words = [line.split()[0] for line in block.split("\n") if line.strip()]
        if words:
            ids = t.encode(" ".join(words), add_special_tokens=False).ids
            ids += t.encode(words, is_pretokenized=True, add_special_tokens=False).ids
            h, n = fnv64(ids, h), n + len(ids)
    return h, n


def code_point_hashes(tokenizers, first, last):
    texts = ["a" + chr(cp) + "b" for cp in range(first, last) if not 0xD800 <= cp < 0xE000]
    for t in tokenizers:
        h = fnv64([])
        for encoding in t.encode_batch(texts, add_special_tokens=False):
            h = fnv64(encoding.ids, h)
        yield f"{h:016x}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--corpora", type=pathlib.Path)
    p.add_argument("--code-points", action="store_true")
    p.add_argument("--show", type=int)
    args = p.parse_args()
    vocabularies = {"bert": load_vocabulary(), "characters": characters()}
    tokenizers = [tokenizer(vocabularies, config) for config in CONFIGS]
    if args.corpora:
        with open(DATA / "wordpiece_corpora.txt", "w", encoding="utf-8") as out:
            out.write("# file, hash and count of its ids, uncased; make_wordpiece.py --corpora DIR writes this\n")
            for name in CORPORA:
                h, n = corpus_hash(tokenizers[0], args.corpora / name)
                out.write(f"{name} {h:016x} {n}\n")
        return
    if args.code_points:
        with open(DATA / "wordpiece_code_points.txt", "w", encoding="utf-8") as out:
            for first in range(0, 0x110000, 0x1000):
                out.write(" ".join([f"{first:06x}", *code_point_hashes(tokenizers, first, first + 0x1000)]) + "\n")
        return
    texts = strings(list(vocabularies["bert"]))
    if args.show is not None:
        print(ascii(texts[args.show]), *(t.encode(texts[args.show], add_special_tokens=False).ids for t in tokenizers),
              sep="\n")
        return
    with open(DATA / "wordpiece.bin", "wb") as out:
        out.write(b"NMWP" + struct.pack("<I", len(texts)))
        for text in texts:
            raw = text.encode("utf-8")
            out.write(struct.pack("<H", len(raw)) + raw)
            for t in tokenizers:
                out.write(struct.pack("<I", fnv32(t.encode(text, add_special_tokens=False).ids)))
    print(len(texts), "strings,", (DATA / "wordpiece.bin").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
