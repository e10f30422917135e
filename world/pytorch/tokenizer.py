"""Builds the miniature model's tokenizer: CLIP's byte-level BPE, with merges enough for every word of the world.

    deno eval 'import { captionWords } from "./world/mod.ts"; console.log(captionWords().join(" "))' > words.txt
    python world/pytorch/tokenizer.py words.txt world/miniature/tokenizer

or from the `world.json` that lies beside an exported data set.

The rare entries `ktn`, `pll` and `ucd` (no `</w>`, never met in a caption) are there to be copied into new tokens.
"""
import json
import sys
from collections import Counter
from pathlib import Path

MAX_LENGTH = 32
RARE = ["ktn", "pll", "ucd"]
EVERYDAY = """the and of his her my your big little old new happy holding sitting standing swimming flying sleeping
wearing sunglasses party top crown scarf sky sun moon sea sand tree grass water mountain city garden room floor grass
made style oil digital art beautiful cute picture painting image view front side behind near three many dog horse fish
teddy bear cup boat plushy stone circular round glowing light dark bright colourful color watercolor grey white brown
gold silver teal monster throne ship i like it is this that one from by for with at to sculpture lego close very far
away zoomed up small rendition cropped good bad clean dirty nice weird cool rainy""".split()


def bytes_to_unicode():
    """CLIP's reversible map from bytes to printable characters, in its order."""
    bs = [*range(33, 127), *range(161, 173), *range(174, 256)]
    cs, n = bs[:], 0
    for b in range(256):
        if b not in bs:
            bs.append(b)
            cs.append(256 + n)
            n += 1
    return [chr(c) for c in cs]


def train_merges(words):
    """Ordinary BPE training, carried on until every word is one token."""
    state = {w: (*w[:-1], w[-1] + "</w>") for w in words}
    merges = []
    while True:
        pairs = Counter()
        for symbols in state.values():
            pairs.update(zip(symbols, symbols[1:]))
        if not pairs:
            return merges
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word, symbols in state.items():
            out, i = [], 0
            while i < len(symbols):
                if symbols[i : i + 2] == best:
                    out.append("".join(best))
                    i += 2
                else:
                    out.append(symbols[i])
                    i += 1
            state[word] = tuple(out)


def main(words_file, out):
    text = Path(words_file).read_text()
    own = json.loads(text)["words"] if words_file.endswith(".json") else text.split()
    words = sorted(set(own) | set(EVERYDAY))
    merges = train_merges(words)
    for rare in RARE:
        for i in range(2, len(rare) + 1):
            pair = (rare[: i - 1], rare[i - 1])
            if pair not in merges and "".join(pair) not in map("".join, merges):
                merges.append(pair)
    base = bytes_to_unicode()
    tokens = base + [b + "</w>" for b in base] + ["".join(m) for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(tokens)) == len(tokens)
    vocab = {t: i for i, t in enumerate(tokens)}
    assert all(r in vocab for r in RARE)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write = lambda name, value: (out / name).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    (out / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (out / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    token = lambda content: {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    bos, eos = "<|startoftext|>", "<|endoftext|>"
    write("special_tokens_map.json", {"bos_token": token(bos), "eos_token": token(eos), "pad_token": eos, "unk_token": token(eos)})
    write(
        "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": bos,
            "clean_up_tokenization_spaces": True,
            "do_lower_case": True,
            "eos_token": eos,
            "errors": "replace",
            "model_max_length": MAX_LENGTH,
            "pad_token": eos,
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": eos,
        },
    )
    print(len(vocab), "entries,", len(words), "words,", len(merges), "merges")


if __name__ == "__main__":
    main(*sys.argv[1:])
