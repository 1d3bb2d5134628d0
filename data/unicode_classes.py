#!/usr/bin/env python3
"""Writes unicode_classes.inc: which code points are letters, numbers and white space.

The classes are those of OpenAI's tiktoken, asked code point by code point, so that GPT-2's pre-tokenisation is the same
here, there and on every machine, whatever Unicode version its libraries have.

    python3 -m venv venv && venv/bin/pip install tiktoken==0.14.0
    venv/bin/python data/unicode_classes.py > data/unicode_classes.inc
"""
import tiktoken

BYTES = {bytes([i]): i for i in range(256)}
EVERY = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)


def code_points(pattern):
    # What the pattern does not match is dropped by encode_ordinary, so what comes back is the class.
    encoding = tiktoken.Encoding("probe", pat_str=pattern, mergeable_ranks=BYTES, special_tokens={})
    return [ord(c) for c in bytes(encoding.encode_ordinary(EVERY)).decode()]


def ranges(points):
    first = last = points[0]
    for point in points[1:]:
        if point != last + 1:
            yield first, last
            first = point
        last = point
    yield first, last


print(f"// Made by unicode_classes.py with tiktoken {tiktoken.__version__} (Unicode 16.0): first, last, class. Do not edit.")
for name, pattern in (("space", r"\s"), ("letter", r"\p{L}"), ("number", r"\p{N}")):
    line = ""
    for first, last in ranges(code_points(pattern)):
        item = f"{{0x{first:x}, 0x{last:x}, CharacterClass::{name}}}, "
        if len(line) + len(item) > 121:
            print(line.rstrip())
            line = ""
        line += item
    print(line.rstrip())
