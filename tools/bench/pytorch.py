#!/usr/bin/env python3
"""The yardstick: PyTorch with the same model, weights, batches and GPU, for gpu_check.sh. The engine never needs it.

    pytorch.py train PRESET --tokens DIR --out FILE     # torch.compile, scaled_dot_product_attention, fused AdamW, bf16
    pytorch.py compare OURS.jsonl THEIRS.jsonl          # two loss curves of the same batches; exit code 1 if they part
    pytorch.py attention --out FILE                     # flash attention and cuDNN's, at contexts 1k to 8k

`train` reads models/presets/PRESET.toml, draws initial weights as the engine does in kind (GPT-2's), writes them with --weights
for `train --init-from`, and takes the very batches that the engine's sampler draws. Only `compare` runs without torch.
"""
import argparse
import glob
import json
import math
import pathlib
import statistics
import struct
import sys
import time

from engine_random import hash_name, mix, philox

PRESETS = pathlib.Path(__file__).resolve().parents[2] / "models/presets"


def fail(text, code=1):
    print(f"error: [pytorch.py] {text}", file=sys.stderr)
    sys.exit(code)


# --- The engine's batches: data/loader.h ----------------------------------------------------


class Batches:
    """data.sampling = random over shards in llm.c's format."""

    def __init__(self, folder, context, seed):
        import numpy as np

        files = sorted(glob.glob(f"{folder}/train_*.bin"))
        if not files:
            fail(f"expected train_*.bin in --tokens, got none in {folder}", 2)
        self.np, self.context, self.key, self.shards, self.ends = np, context, mix(seed, hash_name("data.random")), [], []
        for file in files:
            magic = int(np.fromfile(file, dtype="<u4", count=1)[0])
            if magic not in (20240520, 20240801):
                fail(f"expected token shards with a header, got {file}", 2)
            self.shards.append(np.memmap(file, dtype="<u2" if magic == 20240520 else "<u4", mode="r", offset=1024))
            self.ends.append((self.ends[-1] if self.ends else 0) + max(0, len(self.shards[-1]) - context))

    def rows(self, step, count):
        """[count, context + 1] ids."""
        out = self.np.empty((count, self.context + 1), dtype=self.np.int64)
        for row in range(count):
            block = philox(self.key, step, row)
            window = (block[0] << 32 | block[1]) * self.ends[-1] >> 64
            shard = next(i for i, end in enumerate(self.ends) if window < end)
            begin = window - (self.ends[shard - 1] if shard else 0)
            out[row] = self.shards[shard][begin : begin + self.context + 1]
        return out


# --- The model --------------------------------------------------------------------------------------------------------


def model_of(torch, spec, device):
    """GPT-2: parameters by the names and in the shapes that safetensors have, and the loss of a batch."""
    F = torch.nn.functional
    C, L, H, V = spec["width"], spec["layers"], spec["heads"], spec["vocab"]
    padded = (V + 63) // 64 * 64  # as both sides have it in memory
    generator = torch.Generator().manual_seed(1)

    def normal(*shape, std=0.02):
        return torch.empty(*shape).normal_(0, std, generator=generator)

    values = {"wte.weight": normal(padded, C), "wpe.weight": normal(spec["context"], C)}
    values["wte.weight"][V:] = 0
    for i in range(L):
        for name, n_in, n_out in (("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C), ("mlp.c_fc", C, 4 * C), ("mlp.c_proj", 4 * C, C)):
            std = 0.02 / math.sqrt(2 * L) if name.endswith("c_proj") else 0.02
            values[f"h.{i}.{name}.weight"], values[f"h.{i}.{name}.bias"] = normal(n_in, n_out, std=std), torch.zeros(n_out)
    for name in ["ln_f"] + [f"h.{i}.ln_{n}" for i in range(L) for n in (1, 2)]:
        values[name + ".weight"], values[name + ".bias"] = torch.ones(C), torch.zeros(C)
    p = {name: torch.nn.Parameter(value.to(device)) for name, value in values.items()}

    def linear(x, name):
        return x @ p[name + ".weight"].to(x.dtype) + p[name + ".bias"].to(x.dtype)

    def norm(x, name):
        return F.layer_norm(x, (C,), p[name + ".weight"].to(x.dtype), p[name + ".bias"].to(x.dtype))

    def loss(ids, targets):
        B, T = ids.shape
        x = (F.embedding(ids, p["wte.weight"]) + p["wpe.weight"]).to(torch.bfloat16)
        for i in range(L):
            q, k, v = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").view(B, T, 3, H, C // H).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + linear(y.transpose(1, 2).reshape(B, T, C), f"h.{i}.attn.c_proj")
            x = x + linear(F.gelu(linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"), approximate="tanh"), f"h.{i}.mlp.c_proj")
        logits = norm(x, "ln_f") @ p["wte.weight"].to(x.dtype).T
        return F.cross_entropy(logits[..., :V].float().reshape(-1, V), targets.reshape(-1))

    return p, loss


def write_safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name in sorted(tensors):
        data = tensors[name].detach().cpu().contiguous().numpy()
        header[name] = {"dtype": "F32", "shape": list(data.shape), "data_offsets": [at, at + data.nbytes]}
        blobs.append(data)
        at += data.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in blobs:
            file.write(data.tobytes())


def factor_of(step, steps, warmup):
    """engine/schedule.cpp: warm-up, then a cosine down to a tenth."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def facts(torch, device):
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return {"device": name, "torch": torch.__version__, "command": " ".join(sys.argv)}


def train(options):
    import tomllib

    import torch

    preset = tomllib.loads((PRESETS / f"{options.preset}.toml").read_text())
    spec, device = {**preset["model"], **json.loads(options.model)}, options.device
    context = spec["context"]
    rows, micro = options.batch_tokens // context, min(options.micro_batch or preset["run"]["micro_batch"], options.batch_tokens // context)
    p, loss_of = model_of(torch, spec, device)
    if options.weights:
        names = {"transformer." + name: value[: spec["vocab"]] if name == "wte.weight" else value for name, value in p.items()}
        write_safetensors(options.weights, names)
    rate = preset["optimizer"]["learning_rate"]
    groups = [{"params": [x for x in p.values() if (x.dim() >= 2) == decays], "weight_decay": 0.1 if decays else 0.0} for decays in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), eps=1e-8, fused=device == "cuda")
    if not options.eager:
        loss_of = torch.compile(loss_of)
    batches = Batches(options.tokens, context, seed=1)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    losses, seconds, began = [], [], time.monotonic()
    curve = open(options.losses, "w", buffering=1) if options.losses else None  # who is cut short keeps what is done
    for step in range(options.steps):
        batch = torch.from_numpy(batches.rows(step, rows)).to(device)
        wait()
        start = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = rate * factor_of(step, options.steps, options.warmup)
        total = torch.zeros((), device=device)
        for first in range(0, rows, micro):
            part = batch[first : first + micro]
            loss = loss_of(part[:, :-1].contiguous(), part[:, 1:].contiguous()) * (micro / rows)
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total.item())
        seconds.append(time.monotonic() - start)
        if curve:
            print(json.dumps({"step": step + 1, "loss": losses[-1], "seconds": seconds[-1]}), file=curve)
        if step == 0:
            print(f"first step, compilation included: {time.monotonic() - began:.1f} s", flush=True)
    timed = seconds[min(5, len(seconds) - 1) :]
    result = {**facts(torch, device), "preset": options.preset, "compiled": not options.eager, "steps": options.steps, "batch_tokens": options.batch_tokens,
              "micro_batch": micro, "tokens_per_second": options.batch_tokens / statistics.median(timed), "losses": losses}
    pathlib.Path(options.out).write_text(json.dumps(result) + "\n")
    print(f"{options.preset}: {result['tokens_per_second']:,.0f} tokens/s (median of {len(timed)} steps), loss {losses[0]:.4f} -> {losses[-1]:.4f}")


def compare(options):
    """Curves part where means over ten steps differ by more than 2^-8 of the loss: what one rounding to bf16 makes of it."""
    curves = [[json.loads(line)["loss"] for line in open(path)] for path in (options.ours, options.theirs)]
    count = min(map(len, curves))
    if count == 0:
        fail(f"expected steps in both curves, got {len(curves[0])} and {len(curves[1])}")
    worst = 0
    for first in range(0, count, 10):
        ours, theirs = (statistics.fmean(curve[first : min(first + 10, count)]) for curve in curves)
        distance = abs(ours - theirs) / theirs
        worst = distance if not distance <= worst else worst  # NaN stays
        if first % 20 == 0 or first + 10 >= count:
            print(f"steps {first + 1:>4} to {min(first + 10, count):<4}  {ours:.4f}  {theirs:.4f}  {100 * distance:.2f} %")
    print(f"{count} steps, worst distance of the means of ten {100 * worst:.2f} % (at most {100 / 256:.2f} %)")
    if not worst <= 1 / 256:
        sys.exit(1)


def attention(options):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def median_of(work):
        times = []
        for run in range(13):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) * 1e-3)
        return statistics.median(times[3:])

    width, tokens, result = 2048, 16384, []  # tools/bench/cases.cpp: attention_cases
    for D in (64, 128):
        for T in (1024, 2048, 4096, 8192):
            B, H = tokens // T, width // D
            q, k, v = (torch.randn(B, T, H, D, device="cuda", dtype=torch.bfloat16).transpose(1, 2).requires_grad_() for _ in range(3))
            dy = torch.randn_like(q)
            pairs = B * H * T * (T + 1) / 2
            for name, backend in (("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)):
                try:
                    with sdpa_kernel(backend):
                        call = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                        with torch.no_grad():
                            forward = median_of(call)
                        y = call()
                        backward = median_of(lambda: torch.autograd.grad(y, (q, k, v), dy, retain_graph=True))
                except RuntimeError as error:
                    print(f"{name} T={T} D={D}: {str(error).splitlines()[0]}", flush=True)
                    continue
                result.append({"kernel": name, "context": T, "head": D, "forward_seconds": forward, "backward_seconds": backward})
                print(f"{name:<6} T={T:<5} D={D:<4} forward {1e6 * forward:9.1f} us {4 * D * pairs / forward * 1e-12:6.1f} TFLOP/s,"
                      f" backward {1e6 * backward:9.1f} us {10 * D * pairs / backward * 1e-12:6.1f} TFLOP/s (five products)", flush=True)
                pathlib.Path(options.out).write_text(json.dumps({**facts(torch, "cuda"), "attention": result}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser("train")
    add.add_argument("preset")
    add.add_argument("--tokens", required=True)
    add.add_argument("--out", required=True)
    add.add_argument("--losses")
    add.add_argument("--weights")
    add.add_argument("--steps", type=int, default=200)
    add.add_argument("--warmup", type=int, default=10)
    add.add_argument("--batch-tokens", type=int, default=65536)
    add.add_argument("--micro-batch", type=int)
    add.add_argument("--model", default="{}", help="JSON over the preset's [model]")
    add.add_argument("--device", default="cuda")
    add.add_argument("--eager", action="store_true")
    add.set_defaults(run=train)
    add = commands.add_parser("compare")
    add.add_argument("ours")
    add.add_argument("theirs")
    add.set_defaults(run=compare)
    add = commands.add_parser("attention")
    add.add_argument("--out", required=True)
    add.set_defaults(run=attention)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
