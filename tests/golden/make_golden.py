#!/usr/bin/env python3
"""Golden values: loss and every gradient of a tiny model for each toggle, and a 20-step AdamW trajectory, by PyTorch.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch numpy
    /tmp/venv/bin/python tests/golden/make_golden.py CASE...    # writes toggles/CASE.safetensors; --all: every case, and trajectory.*

Everything is computed in float64 by an implementation that shares nothing with the engine but the contract. Weights are not stored: both sides
compute them from `weight()` below. Needed by nobody who builds or tests; only by whoever adds a toggle.
"""
import json
import math
import pathlib
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "tools/bench"))
from engine_random import hash_name, mix, philox  # noqa: E402
B, SEED = 3, 7
BASE = dict(layers=2, heads=4, kv_heads=4, width=16, context=6, vocab=13, norm="layernorm", norm_position="pre",
            final_norm="layernorm", positions="learned", rope_theta=10000.0, window=0, mlp="gelu", mlp_ratio=2, bias=True,
            dropout=0.0, tie_embeddings=True, attention="flash")
CASES = {
    "base": {},
    "naive": dict(attention="naive"),
    "rmsnorm": dict(norm="rmsnorm", final_norm="rmsnorm"),
    "norm_none": dict(norm="none", final_norm="layernorm"),
    "no_norm_at_all": dict(norm="none", final_norm="none"),
    "post_norm": dict(norm_position="post", final_norm="none"),
    "post_norm_rms_final": dict(norm="rmsnorm", norm_position="post", final_norm="rmsnorm"),
    "rope": dict(positions="rope"),
    "rope_theta": dict(positions="rope", rope_theta=100.0),
    "learned_rope": dict(positions="learned+rope"),
    "sinusoidal": dict(positions="sinusoidal"),
    "no_positions": dict(positions="none"),
    "multi_query": dict(kv_heads=1),
    "grouped_query_rope": dict(kv_heads=2, positions="rope"),
    "window": dict(window=3),
    "window_naive": dict(window=2, attention="naive", kv_heads=2),
    "gelu_tanh": dict(mlp="gelu_tanh"),
    "relu2": dict(mlp="relu2"),
    "swiglu": dict(mlp="swiglu"),
    "no_bias": dict(bias=False),
    "swiglu_no_bias_rms": dict(mlp="swiglu", bias=False, norm="rmsnorm", final_norm="rmsnorm", positions="rope", kv_heads=2),
    "untied": dict(tie_embeddings=False),
    "mlp_ratio": dict(mlp_ratio=3),
    "logit_softcap": dict(logit_softcap=1.5),
    "dropout": dict(dropout=0.25),
    "dropout_naive": dict(dropout=0.25, attention="naive", kv_heads=2, window=4),
}


def dropout_scale(site, shape, p, step):
    """Factor of each element: 0 or 1 / (1 - p)."""
    key = mix(SEED, hash_name(site) & ((1 << 48) - 1))
    count = int(np.prod(shape))
    draws = [philox(key, step, i // 4)[i % 4] for i in range(count)]
    keep = [1 / (1 - p) if draw >= int(p * 4294967296.0) else 0.0 for draw in draws]
    return torch.tensor(keep, dtype=torch.float64).reshape(shape)


def weight(name, shape):
    """w[i] = offset + scale · sin(1.3 i + phase): smooth, asymmetric, the same in every language."""
    count = int(np.prod(shape))
    phase = (hash_name(name) % 1000) / 100.0
    norm_weight = ".ln_" in name and name.endswith("weight")
    offset, scale = (1.0, 0.3) if norm_weight else (0.0, 0.1) if len(shape) == 1 else (0.0, 0.35)
    i = np.arange(count, dtype=np.float64)
    return torch.tensor((offset + scale * np.sin(1.3 * i + phase)).reshape(shape), dtype=torch.float64, requires_grad=True)


def tokens(step, vocab, context):
    ids = [[(7 * step + 5 * b + 3 * t * t + t) % vocab for t in range(context + 1)] for b in range(B)]
    ids = torch.tensor(ids)
    return ids[:, :-1], ids[:, 1:]


class Model:
    def __init__(self, spec):
        self.s, self.p = spec, {}

    def param(self, name, *shape):
        if name not in self.p:
            self.p[name] = weight(name, shape)
        return self.p[name]

    def drop(self, x, site):
        s = self.s
        return x * dropout_scale(site, x.shape, s["dropout"], self.step) if s["dropout"] else x

    def norm(self, x, kind, name):
        C = self.s["width"]
        if kind == "none":
            return x
        w = self.param(name + ".weight", C)
        if kind == "layernorm":
            b = self.param(name + ".bias", C) if self.s["bias"] else None
            return F.layer_norm(x, (C,), w, b, 1e-5)
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * w

    def linear(self, x, name, n_in, n_out):
        y = x @ self.param(name + ".weight", n_in, n_out)
        return y + self.param(name + ".bias", n_out) if self.s["bias"] else y

    def rope(self, x):  # [B, heads, T, D]
        D, T = x.shape[-1], x.shape[-2]
        angle = torch.arange(T, dtype=torch.float64)[:, None] * self.s["rope_theta"] ** (
            -torch.arange(0, D, 2, dtype=torch.float64) / D)
        cos, sin = angle.cos(), angle.sin()
        a, b = x[..., :D // 2], x[..., D // 2:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def attention(self, x, prefix):
        s = self.s
        H, K, C, T = s["heads"], s["kv_heads"], s["width"], x.shape[1]
        D = C // H
        qkv = self.linear(x, prefix + "attn.c_attn", C, C + 2 * K * D)
        q, k, v = qkv.split([C, K * D, K * D], -1)
        q = q.reshape(B, T, H, D).transpose(1, 2)
        k = k.reshape(B, T, K, D).transpose(1, 2)
        v = v.reshape(B, T, K, D).transpose(1, 2)
        if "rope" in s["positions"]:
            q, k = self.rope(q), self.rope(k)
        k, v = k.repeat_interleave(H // K, 1), v.repeat_interleave(H // K, 1)
        score = q @ k.transpose(-1, -2) / math.sqrt(D)
        i, j = torch.arange(T)[:, None], torch.arange(T)[None]
        live = (j <= i) & ((i - j < s["window"]) if s["window"] else (j <= i))
        probability = score.masked_fill(~live, -math.inf).softmax(-1)
        probability = self.drop(probability, prefix + "attn")
        y = (probability @ v).transpose(1, 2).reshape(B, T, C)
        return self.drop(self.linear(y, prefix + "attn.c_proj", C, C), prefix + "attn.resid_dropout")

    def mlp(self, x, prefix):
        s, C = self.s, self.s["width"]
        hidden = s["mlp_ratio"] * C
        if s["mlp"] == "swiglu":
            h = F.silu(self.linear(x, prefix + "mlp.c_gate", C, hidden)) * self.linear(x, prefix + "mlp.c_fc", C, hidden)
        else:
            h = self.linear(x, prefix + "mlp.c_fc", C, hidden)
            h = {"gelu": F.gelu, "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"), "relu2": lambda z: F.relu(z) ** 2}[s["mlp"]](h)
        return self.drop(self.linear(h, prefix + "mlp.c_proj", hidden, C), prefix + "mlp.dropout")

    def loss(self, step):
        s, self.step = self.s, step
        C, T = s["width"], s["context"]
        ids, targets = tokens(step, s["vocab"], T)
        wte = self.param("transformer.wte.weight", s["vocab"], C)
        x = wte[ids]
        if "learned" in s["positions"]:
            x = x + self.param("transformer.wpe.weight", T, C)
        if s["positions"] == "sinusoidal":
            pos = torch.arange(T, dtype=torch.float64)[:, None]
            div = torch.exp(torch.arange(0, C, 2, dtype=torch.float64) * (-math.log(10000.0) / C))
            table = torch.zeros(T, C, dtype=torch.float64)
            table[:, 0::2], table[:, 1::2] = torch.sin(pos * div), torch.cos(pos * div)
            x = x + table
        x = self.drop(x, "transformer.drop")
        for layer in range(s["layers"]):
            prefix = f"transformer.h.{layer}."
            for ln, branch in (("ln_1", self.attention), ("ln_2", self.mlp)):
                if s["norm_position"] == "pre":
                    x = x + branch(self.norm(x, s["norm"], prefix + ln), prefix)
                else:
                    x = self.norm(x + branch(x, prefix), s["norm"], prefix + ln)
        x = self.norm(x, s["final_norm"], "transformer.ln_f")
        head = wte if s["tie_embeddings"] else self.param("lm_head.weight", s["vocab"], C)
        logits = x @ head.T
        if s.get("logit_softcap"):
            logits = s["logit_softcap"] * torch.tanh(logits / s["logit_softcap"])
        return F.cross_entropy(logits.reshape(-1, s["vocab"]), targets.reshape(-1))


def write_safetensors(path, tensors, metadata=None):
    header, blobs, at = {"__metadata__": metadata} if metadata else {}, [], 0
    for name in sorted(tensors):
        data = np.ascontiguousarray(tensors[name], dtype=np.float64)
        header[name] = {"dtype": "F64", "shape": list(data.shape), "data_offsets": [at, at + data.nbytes]}
        blobs.append(data.tobytes())
        at += data.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def describe(spec):
    return " ".join(f"model.{key}={str(value).lower()}" for key, value in spec.items())


def write_case(name):
    """A file a case, so that two branches that add one each do not meet."""
    spec = {**BASE, **CASES[name]}
    model = Model(spec)
    loss = model.loss(step=0)
    loss.backward()
    tensors = {"loss": loss.detach().numpy().reshape(1)}
    for parameter, value in model.p.items():
        # A position's row that no token reached still has a gradient: zero.
        tensors[parameter] = (value.grad if value.grad is not None else torch.zeros_like(value)).numpy()
    write_safetensors(HERE / f"toggles/{name}.safetensors", tensors, {"model": describe(spec)})


def main():
    everything = sys.argv[1:] == ["--all"]
    names = list(CASES) if everything else sys.argv[1:]
    if not names or not set(names) <= set(CASES):
        sys.exit(f"error: [make_golden.py] expected --all or some of {' '.join(CASES)}, got {' '.join(sys.argv[1:]) or 'nothing'}")
    for name in names:
        write_case(name)
    if everything:
        write_trajectory()


def write_trajectory():
    # The trajectory: warm-up, cosine, decay of matrices only, clipping that really clips.
    spec, steps, lr, warmup, final, clip, decay = {**BASE, "positions": "rope", "kv_heads": 2}, 20, 4e-3, 4, 0.1, 0.5, 0.1
    model = Model(spec)
    model.loss(0)
    groups = [dict(params=[p for p in model.p.values() if p.dim() >= 2], weight_decay=decay),
              dict(params=[p for p in model.p.values() if p.dim() < 2], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for step in range(steps):
        factor = ((step + 1) / (warmup + 1) if step < warmup else
                  final + (1 - final) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))
        for group in optimizer.param_groups:
            group["lr"] = lr * factor
        optimizer.zero_grad()
        loss = model.loss(step)
        loss.backward()
        norm = math.sqrt(sum(float((p.grad ** 2).sum()) for p in model.p.values()))
        for p in model.p.values():
            p.grad *= min(1.0, clip / (norm + 1e-6))
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm)
    tensors = {f"final/{name}": value.detach().numpy() for name, value in model.p.items()}
    tensors["losses"], tensors["norms"] = np.array(losses), np.array(norms)
    write_safetensors(HERE / "trajectory.safetensors", tensors)
    (HERE / "trajectory.txt").write_text(describe(spec) + "\n")
    print(f"trajectory loss {losses[0]:.4f} -> {losses[-1]:.4f}, norms {min(norms):.3f} to {max(norms):.3f}")


if __name__ == "__main__":
    main()
