"""Writes tokenizer.json: what transformers' CLIPTokenizer does with some hundred texts, and the small vocabulary it used.

Run from this folder with transformers installed: python tokenizer.py

The vocabulary has CLIP's structure (256 bytes, the same ending a word, merges, start and end) with merges learned
here from a few sentences.
"""

import collections
import json
import os
import random
import tempfile

from transformers import CLIPTokenizer

CORPUS = """photo of a red cat on a beach . a pencil drawing of two dogs at night , in the style of an old painting .
the quick brown fox jumps over the lazy dog's back while it's raining ; we're sure they'll say i'd've known .
a watercolor of a moongate in the snow . close up photo of the cat wearing a hat . very small photo of a teddy bear
playing with a toy barn near the mountain , sunset light . cafe naive uber garcon in paris 1234567890""".lower()


def byte_symbols():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in keep]
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def learn(count):
    words = collections.Counter(CORPUS.split() + ["café", "naïve", "über", "東京", "🙂"])
    table = byte_symbols()
    split = {w: [table[b] for b in w.encode()] for w in words}
    for w in split:
        split[w][-1] += "</w>"
    merges = [("k", "t"), ("kt", "n")]
    while len(merges) < count:
        pairs = collections.Counter()
        for w, s in split.items():
            for pair in zip(s, s[1:]):
                pairs[pair] += words[w]
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for w, s in split.items():
            out, i = [], 0
            while i < len(s):
                if tuple(s[i : i + 2]) == best:
                    out.append(s[i] + s[i + 1])
                    i += 2
                else:
                    out.append(s[i])
                    i += 1
            split[w] = out
    return merges


MERGES = learn(220)
symbols = list(byte_symbols().values())
ENTRIES = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in MERGES] + ["<|startoftext|>", "<|endoftext|>"]
VOCAB = {e: i for i, e in enumerate(ENTRIES)}
assert len(VOCAB) == len(ENTRIES)

FIXED = [
    "", " ", "a", "photo of a <new1> cat", "photo of a <NEW1> cat", "a<new1> cat", "<new1>cat", "<new1><new2>", "<new10> and <new1>",
    "<new1>.", "< new1 >", "<new1", "new1>", "A Photo OF THE Cat", "it's, they'll; we're i'd've 'tis ''s 'S 'LL", "dog's dogs' 'dog'",
    "hello!!! what?! ...end", "1234 5,678.90 3rd x2y3", "tabs\tand\nnew\r\nlines", "  many   spaces  ", "a\u00a0b\u2003c\u3000d\u2028e\u0085f",
    "a\ufeffb \ufeff c\u200bd\u180ee", "café naïve über garçon", "cafe\u0301 nai\u0308ve e\u0301\u0327 \u0301x", "CAFÉ NAÏVE ÜBER ÉÈÊ",
    "東京タワー 写真 北京", "안녕하세요 세계", "नमस्ते दुनिया", "สวัสดีชาวโลก", "مرحبا بالعالم", "שלום עולם", "Привет МИР ёж Ё", "ΟΔΟΣ Σίσυφος ΣΑΣ Σ",
    "İstanbul ISTANBUL ıi", "ẞ ß straße STRASSE", "ǅ ǆ Ǆ", "🙂 🙂🙃", "👩‍👩‍👧 👍🏽 🇩🇪 ❤️", "a🙂b", "①②③ ½ ² ५ Ⅷ ㍿", "x² + y³ = ∞ ≠ 0", "“quotes” ‘single’ — dash – … •",
    "<|startoftext|>", "<|endoftext|>", "a <|endoftext|> b", "<|ENDOFTEXT|> <|StartOfText|>", "<|endoftext|><new1><|startoftext|>", "a_b-c/d\\e@f#g$h%i^j&k*l(m)n",
    "http://example.org/x?y=1&z=2", "[brackets] {braces} (parens) <angle>", "ktn", "ktn pll ucd xktn", "\x00\x01\x7f", "a\x00b", "\U0001f9ff\U00020000\U0010fffd",
    "ﬁ ﬂ Å Å Ω Ω", "ก็ ไม่", "e" + "\u0301" * 20, "very " * 40, "supercalifragilistic" * 8, "wow! such ! end!", "! <new1>!",
]


def random_texts(count):
    rng = random.Random(0)
    words = CORPUS.split()
    odd = ["<new1>", "<New2>", "<new10>", "'s", "!!", "é", "東", "🙂", "٣", "\u0301", "\u00a0", "\t", "Σ", "İ", "1", "23", "...", "-", "<|endoftext|>", "ÀÉ", "ﬀ", "ό", "\u200d"]
    ranges = [(0x20, 0x7E), (0xA1, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x2000, 0x206F), (0x3040, 0x30FF), (0x1F600, 0x1F64F), (0xAC00, 0xACFF)]
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 9)):
            kind = rng.random()
            if kind < 0.5:
                word = rng.choice(words)
                parts.append(rng.choice([word, word.upper(), word.capitalize(), word[: rng.randint(1, 4)]]))
            elif kind < 0.75:
                parts.append(rng.choice(odd))
            else:
                low, high = rng.choice(ranges)
                parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 5))))
        yield rng.choice(["", " ", " "]).join(parts)


def plain(folder, special, config):
    with open(f"{folder}/vocab.json", "w") as f:
        json.dump(VOCAB, f)
    with open(f"{folder}/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in MERGES))
    for name, content in (("special_tokens_map.json", special), ("tokenizer_config.json", config)):
        with open(f"{folder}/{name}", "w") as f:
            json.dump(content, f)
    return CLIPTokenizer.from_pretrained(folder)


def full(content):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


BOS, EOS = "<|startoftext|>", "<|endoftext|>"
BASE = {"model_max_length": 32, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
CASES = {
    # as in the folders of Stable Diffusion 1
    "sd1": ({"bos_token": full(BOS), "eos_token": full(EOS), "unk_token": full(EOS), "pad_token": EOS},
            {**BASE, "bos_token": {"__type": "AddedToken", **full(BOS)}, "eos_token": {"__type": "AddedToken", **full(EOS)},
             "unk_token": {"__type": "AddedToken", **full(EOS)}, "pad_token": EOS}),
    # as in those of Stable Diffusion 2
    "sd2": ({"bos_token": full(BOS), "eos_token": full(EOS), "unk_token": full(EOS), "pad_token": "!"},
            {**BASE, "bos_token": full(BOS), "eos_token": full(EOS), "unk_token": full(EOS), "pad_token": "!"}),
    # as plain strings
    "strings": ({}, {**BASE, "bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": EOS}),
}

TEXTS = FIXED + list(random_texts(240))
golden = {"vocab": ENTRIES, "merges": [" ".join(m) for m in MERGES], "texts": TEXTS, "cases": {}}
ADDED = ["<new1>", "<New2>", "<new10>"]
with tempfile.TemporaryDirectory() as top:
    for name, (special, config) in CASES.items():
        folder = f"{top}/{name}"
        os.mkdir(folder)
        tok = plain(folder, special, config)
        texts = TEXTS if name == "sd1" else FIXED
        before = [tok(t)["input_ids"] for t in texts[:60]]
        tok.add_tokens(ADDED)
        after = [tok(t)["input_ids"] for t in texts]
        golden["cases"][name] = {
            "special": special,
            "config": config,
            "before": before,
            "added": dict(zip(ADDED, tok.convert_tokens_to_ids(ADDED))),
            "after": after,
            "padded": [tok(t, padding="max_length", truncation=True, max_length=32)["input_ids"] for t in texts[:60]],
            "decoded": [tok.decode(ids, skip_special_tokens=True) for ids in after],
        }
        if name == "sd1":
            # saved with its tokens, as a fine-tuned model is
            tok.save_pretrained(f"{top}/saved")
            golden["saved"] = {n: open(f"{top}/saved/{n}").read() for n in sorted(os.listdir(f"{top}/saved")) if n != "tokenizer.json"}
            with open(f"{top}/saved/tokenizer.json") as f:
                saved = json.load(f)
            golden["saved_added"] = saved["added_tokens"]
            assert saved["model"]["vocab"] == VOCAB

with open("tokenizer.json", "w") as f:
    json.dump(golden, f, separators=(",", ":"))
