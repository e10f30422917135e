"""Writes tokenizer_clip.json: hashes of what transformers' CLIPTokenizer makes of 20,000 texts with CLIP's own vocabulary.

Run from this folder: python tokenizer_clip.py (transformers 5.24.0, tokenizers 0.23.1)

files/models/clip_merges.json is the vocabulary: the first 48,894 merges of OpenAI's bpe_simple_vocab_16e6 (CLIP, MIT licence); bytes, bytes that end a word, merges, start and end make its 49,408 entries. The texts are made here and in the test
by the same recipe, tokenizer_texts.json. Of each block of 500: SHA-256 over the texts; over their ids, added tokens known;
and over the 77 ids of Stable Diffusion 1 (padded by the end token) and 2 (padded by "!"). Some are spelt out.
"""

import hashlib
import json
import tempfile

import transformers
from transformers import CLIPTokenizer

with open("tokenizer_texts.json") as f:
    RECIPE = json.load(f)
with open("../../files/models/clip_merges.json") as f:
    MERGES = json.load(f)["merges"].split("\n")
assert len(MERGES) == 48894


def texts():
    state = RECIPE["seed"]

    def draw(n):
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return (state >> 8) % n

    def part(source):
        if "merges" in source:
            return MERGES[draw(len(MERGES))].replace(" ", "").replace("</w>", "")
        if "list" in source:
            return source["list"][draw(len(source["list"]))]
        low, high = source["length"]
        made = ""
        for _ in range(low + draw(high - low + 1)):
            first, last = source["ranges"][draw(len(source["ranges"]))]
            made += chr(first + draw(last - first + 1))
        return made

    for i in range(RECIPE["count"]):
        kind = RECIPE["kinds"][i % len(RECIPE["kinds"])]
        low, high = kind["parts"]
        text = ""
        for k in range(low + draw(high - low + 1)):
            if k:
                text += kind["separators"][draw(len(kind["separators"]))]
            text += part(RECIPE["sources"][kind["sources"][draw(len(kind["sources"]))]])
        yield text


def byte_symbols():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in keep]
    return [*map(chr, keep), *(chr(256 + i) for i in range(len(rest)))]


def full(content):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def tokenizer(pad):
    symbols = byte_symbols()
    entries = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in MERGES] + [BOS, EOS]
    config = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True, "pad_token": pad,
              "bos_token": full(BOS), "eos_token": full(EOS), "unk_token": full(EOS)}
    special = {k: config[k] for k in ("pad_token", "bos_token", "eos_token", "unk_token")}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("vocab.json", {e: i for i, e in enumerate(entries)}), ("tokenizer_config.json", config),
                              ("special_tokens_map.json", special)):
            with open(f"{folder}/{name}", "w") as f:
                json.dump(content, f)
        with open(f"{folder}/merges.txt", "w") as f:
            f.write("#version: 0.2\n" + "\n".join(MERGES) + "\n")
        made = CLIPTokenizer.from_pretrained(folder)
    assert made.add_tokens(RECIPE["added"]) == len(RECIPE["added"])
    return made, config


def digest(lines):
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def rows(ids):
    return [" ".join(map(str, row)) for row in ids]


if __name__ == "__main__":
    all_texts = list(texts())
    (sd1, config1), (sd2, config2) = tokenizer(EOS), tokenizer("!")
    padding = dict(padding="max_length", truncation=True, max_length=77)
    blocks, samples = [], []
    size = RECIPE["block"]
    for at in range(0, len(all_texts), size):
        block = all_texts[at : at + size]
        ids = sd1(block)["input_ids"]
        blocks.append({"texts": digest(block), "ids": digest(rows(ids)),
                       "sd1": digest(rows(sd1(block, **padding)["input_ids"])),
                       "sd2": digest(rows(sd2(block, **padding)["input_ids"]))})
        samples += [{"at": at + k, "text": block[k], "ids": ids[k]} for k in (3, 6, 9, 11) if len(ids[k]) < 60]
    with open("tokenizer_clip.json", "w") as f:
        json.dump({"transformers": transformers.__version__, "sd1": config1, "sd2": config2, "blocks": blocks,
                   "samples": samples}, f, ensure_ascii=True, indent=0)
    print(len(all_texts), sum(map(len, all_texts)), "characters")
