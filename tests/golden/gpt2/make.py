#!/usr/bin/env python3
"""Writes GPT-2's token ids for texts that are hard to cut right, as OpenAI's tiktoken gives them, and the small part of
GPT-2's vocabulary that these texts use, so that the test needs no megabytes of files that are not ours.

    python3 -m venv venv && venv/bin/pip install tiktoken==0.14.0
    venv/bin/python tests/golden/gpt2/make.py DIR        # DIR with OpenAI's encoder.json and vocab.bpe

Writes encoder.json and vocab.bpe (the merges that the texts apply, in their order, and their tokens, numbered anew without
gaps) and cases.json: `gpt2_ids[i]` is GPT-2's id of the token that is number i here.
"""
import json
import pathlib
import random
import sys

import tiktoken

HERE = pathlib.Path(__file__).parent
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def alphabet():
    printable = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def texts():
    draw = random.Random(20240520)
    valid = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    spaces = [" ", "\n", "\t", "\r\n", "\u00a0", "\u2028", "\u3000", "\u0085", "\x1c", "\u200b"]
    yield from ["", " ", "\n", "a", "<|endoftext|>", "The quick brown fox jumps over the lazy dog."]
    yield "It's what they've said: we're sure you'll see I'm right, he'd say; 'tis 'S 'LL ''s 'r 're've x'y ' s"
    yield (
        "When the harbour froze that winter, the lighthouse keeper's daughter skated out to the anchored ships every "
        "morning with letters, newspapers and whatever gossip she considered trustworthy. Nobody remembered who had first "
        "suggested it; the captains, however, were unanimous: without her they'd have gone mad before February.\n\n"
        "Temperature, pressure and volume are related, approximately, by an equation of state. Measurements made in 1873 "
        "differ from it by less than 0.5%, although the apparatus (a glass tube, mercury, thermometers) was primitive.\n"
    )
    yield "In 1969, 3.14159 and 1,000,000 or 0x1F; \u00bd \u00b2 \u2167 \u0664\u0665 \u4e09 12a34b"
    yield "def f(x):\n    if x  >=  10:\n\treturn   x**2   # done\n\n\n    \n"
    yield "Gr\u00fc\u00dfe aus K\u00f6ln, d\u00e9j\u00e0 vu, na\u00efve, \u0141\u00f3d\u017a, \u0130stanbul, \u1e9e"
    yield "\u4e2d\u6587\u5b57\u7b26 \u304b\u306a\u30ab\u30ca \ud55c\uad6d\uc5b4 \u0939\u093f\u0928\u094d\u0926\u0940 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea"
    yield "\U0001f642 \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea e\u0301 z\u0335\u0323 \u2014 \u2019s \u201cq\u201d \u2026"
    yield "\x00\x01\x7f\x1b[31m\x0b\x0c\ufeff\ufffd\ufffe"
    yield "a" * 300 + " " * 300 + "\n" * 30 + "!?" * 60
    for _ in range(6):
        yield "".join(draw.choice(spaces) * draw.randint(1, 4) + draw.choice(["", "", "x", "7", ".", "'s"]) for _ in range(80))
    for top in (0x250, 0x3000, 0x20000, 0x110000):
        yield "".join(chr(draw.choice([c for c in valid if c < top])) for _ in range(250))


def main(directory):
    names = alphabet()
    name = lambda token: "".join(names[b] for b in token)
    encoder = json.loads((directory / "encoder.json").read_text())
    byte_of = {c: b for b, c in names.items()}
    ids = {bytes(byte_of[c] for c in token): i for token, i in encoder.items() if token != "<|endoftext|>"}
    encoding = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ids, special_tokens={"<|endoftext|>": 50256})
    lines = (directory / "vocab.bpe").read_text().split("\n")[1:]
    merges = [tuple(bytes(byte_of[c] for c in part) for part in line.split()) for line in lines if line]
    rank = {pair: i for i, pair in enumerate(merges)}

    applied = set()

    def merge(word):  # plain BPE, only to learn which merges a word applies
        parts = [bytes([b]) for b in word]
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: rank.get((parts[i], parts[i + 1]), len(rank)))
            if (parts[best], parts[best + 1]) not in rank:
                break
            applied.add((parts[best], parts[best + 1]))
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return [ids[part] for part in parts]

    import regex

    cases = []
    for text in texts():
        expected = encoding.encode_ordinary(text)
        words = regex.findall(PATTERN, text)
        assert [i for word in words for i in merge(word.encode())] == expected
        cases.append({"text": text, "ids": expected})

    used = sorted(applied, key=rank.get)
    tokens = [bytes([b]) for b in range(256)] + list(dict.fromkeys(a + b for a, b in used))
    small = {name(token): i for i, token in enumerate(tokens)} | {"<|endoftext|>": len(tokens)}
    (HERE / "encoder.json").write_text(json.dumps(small) + "\n")
    (HERE / "vocab.bpe").write_text("#version: 0.2\n" + "".join(f"{name(a)} {name(b)}\n" for a, b in used))
    record = {"made_by": f"tiktoken {tiktoken.__version__}", "gpt2_ids": [ids[t] for t in tokens] + [50256], "cases": cases}
    (HERE / "cases.json").write_text(json.dumps(record) + "\n")


main(pathlib.Path(sys.argv[1]))
