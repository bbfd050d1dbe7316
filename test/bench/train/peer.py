#!/usr/bin/env python3
"""PyTorch CPU training throughput of an encoder-decoder Transformer (one configuration per process).

Prints one JSON line: target tokens/s, median seconds per update, peak RSS.
Synthetic ids, 8..40 tokens a sentence, batches sorted by length, about 4096 target tokens an update.
"""
import argparse, json, math, os, resource, time
import torch, torch.nn as nn, torch.nn.functional as F

SHAPES = {  # encoder layers, decoder layers, d, ffn, heads
    "tiny": (4, 4, 128, 256, 4), "base": (6, 6, 512, 1024, 4), "deep": (12, 12, 256, 1024, 4)}


class SelfAtt(nn.Module):
    def __init__(s, d, h):
        super().__init__(); s.h = h; s.qkv = nn.Linear(d, 3 * d); s.o = nn.Linear(d, d)

    def forward(s, x, mask, causal):
        b, n, d = x.shape
        q, k, v = s.qkv(x).view(b, n, 3, s.h, d // s.h).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return s.o(y.transpose(1, 2).reshape(b, n, d))


class CrossAtt(nn.Module):
    def __init__(s, d, h):
        super().__init__(); s.h = h; s.q = nn.Linear(d, d); s.kv = nn.Linear(d, 2 * d); s.o = nn.Linear(d, d)

    def forward(s, x, mem, mask):
        b, n, d = x.shape; m = mem.shape[1]
        q = s.q(x).view(b, n, s.h, d // s.h).transpose(1, 2)
        k, v = s.kv(mem).view(b, m, 2, s.h, d // s.h).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return s.o(y.transpose(1, 2).reshape(b, n, d))


class Ffn(nn.Module):
    def __init__(s, d, f):
        super().__init__(); s.a = nn.Linear(d, f); s.b = nn.Linear(f, d)

    def forward(s, x):
        return s.b(F.relu(s.a(x)))


class Stack(nn.Module):
    """A list of sublayers joined by one of the three residual schemes."""

    def __init__(s, layers, d, h, f, dec, scheme, p):
        super().__init__()
        s.scheme, s.p, s.kinds = scheme, p, (["self", "cross", "ffn"] if dec else ["self", "ffn"]) * layers
        mk = {"self": lambda: SelfAtt(d, h), "cross": lambda: CrossAtt(d, h), "ffn": lambda: Ffn(d, f)}
        s.f = nn.ModuleList(mk[k]() for k in s.kinds)
        s.ln = nn.ModuleList(nn.LayerNorm(d) for _ in s.kinds)
        s.final = nn.LayerNorm(d) if scheme != "post" else None

    def sub(s, i, x, mem, smask, cmask, causal):
        k = s.kinds[i]
        y = s.f[i](x) if k == "ffn" else s.f[i](x, smask, causal) if k == "self" else s.f[i](x, mem, cmask)
        return F.dropout(y, s.p, s.training)

    def forward(s, x, mem, smask, cmask, causal):
        if s.scheme == "post":
            for i, ln in enumerate(s.ln):
                x = ln(x + s.sub(i, x, mem, smask, cmask, causal))
            return x
        if s.scheme == "pre":
            for i, ln in enumerate(s.ln):
                x = x + s.sub(i, ln(x), mem, smask, cmask, causal)
            return s.final(x)
        xd = x  # ResiDual
        for i, ln in enumerate(s.ln):
            y = s.sub(i, x, mem, smask, cmask, causal)
            xd = xd + y
            x = ln(x + y)
        return x + s.final(xd)


class Transformer(nn.Module):
    def __init__(s, shape, vocab, scheme="post", dropout=0.1, maxlen=512):
        super().__init__()
        e, d_, d, f, h = SHAPES[shape] if isinstance(shape, str) else shape
        s.d, s.p = d, dropout
        s.emb = nn.Embedding(vocab, d)
        nn.init.normal_(s.emb.weight, 0, d ** -0.5)
        t = torch.arange(maxlen)[:, None] * torch.exp(-math.log(1e4) * torch.arange(0, d, 2) / d)
        s.register_buffer("pos", torch.stack([t.sin(), t.cos()], -1).reshape(maxlen, d))
        s.enc = Stack(e, d, h, f, False, scheme, dropout)
        s.dec = Stack(d_, d, h, f, True, scheme, dropout)
        for q in s.modules():
            if isinstance(q, nn.Linear):
                nn.init.xavier_uniform_(q.weight); nn.init.zeros_(q.bias)

    def embed(s, ids):
        return F.dropout(s.emb(ids) * math.sqrt(s.d) + s.pos[: ids.shape[1]], s.p, s.training)

    def encode(s, src, smask):
        return s.enc(s.embed(src), None, smask, None, False)

    def decode(s, tgt, mem, smask):
        return s.dec(s.embed(tgt), mem, None, smask, True)

    def forward(s, src, smask, tin, flat, gold, smooth=0.1):
        """flat: indices of real target positions; only these are projected on the vocabulary."""
        y = s.decode(tin, s.encode(src, smask), smask)
        y = y.reshape(-1, s.d).index_select(0, flat)
        return F.cross_entropy(F.linear(y, s.emb.weight).float(), gold, label_smoothing=smooth)


def pad(seqs):
    out = torch.zeros(len(seqs), max(map(len, seqs)), dtype=torch.long)
    for i, q in enumerate(seqs):
        out[i, : len(q)] = torch.as_tensor(q)
    return out


def make_batch(pairs):
    """pairs of id lists without markers; 1 = begin, 2 = end, 0 = pad."""
    src = pad([a + [2] for a, _ in pairs]); tin = pad([[1] + b for _, b in pairs]); out = pad([b + [2] for _, b in pairs])
    mask = None
    if (src == 0).any():
        mask = torch.zeros(src.shape).masked_fill_(src == 0, float("-inf"))[:, None, None, :]
    flat = (out != 0).reshape(-1).nonzero().squeeze(1)
    return src, mask, tin, flat, out.reshape(-1)[flat]


def token_batches(pairs, tokens, gen):
    """sorted by length, cut at `tokens` real target tokens (end marker counted), batches shuffled"""
    pairs = sorted(pairs, key=lambda p: (len(p[1]), len(p[0]))); out, cur, n = [], [], 0
    for p in pairs:
        cur.append(p); n += len(p[1]) + 1
        if n >= tokens:
            out.append(cur); cur, n = [], 0
    if cur: out.append(cur)
    return [out[i] for i in torch.randperm(len(out), generator=gen)]


def synthetic(n, vocab, gen):
    """lengths: log-normal, median 17, cut to 8..40; target length = source x N(1, 0.12)"""
    ls = torch.exp(torch.randn(n, generator=gen) * 0.40 + math.log(17)).round().clamp(8, 40).int()
    lt = (ls * (1 + 0.12 * torch.randn(n, generator=gen))).round().clamp(8, 40).int()
    r = lambda k: torch.randint(4, vocab, (int(k),), generator=gen).tolist()
    return [(r(a), r(b)) for a, b in zip(ls, lt)]


def busy():
    """CPU seconds used by the whole machine and by this process: the difference is other people's work"""
    v = list(map(int, open("/proc/stat").readline().split()[1:])); t = os.times()
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK"), t.user + t.system


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--shape", default="tiny"); ap.add_argument("--scheme", default="post", choices=["post", "pre", "residual"])
    ap.add_argument("--threads", type=int, default=2); ap.add_argument("--mode", default="eager", choices=["eager", "compile"])
    ap.add_argument("--dtype", default="f32", choices=["f32", "bf16"]); ap.add_argument("--tokens", type=int, default=4096)
    ap.add_argument("--vocab", type=int, default=8000); ap.add_argument("--secs", type=float, default=15)
    ap.add_argument("--min-updates", type=int, default=5); ap.add_argument("--profile", action="store_true")
    a = ap.parse_args()
    torch.set_num_threads(a.threads); torch.set_flush_denormal(True); torch.manual_seed(1)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gen = torch.Generator().manual_seed(7)
    bs = [make_batch(b) for b in token_batches(synthetic(12000, a.vocab, gen), a.tokens, gen)]
    bs = [b for b in bs if len(b[4]) >= a.tokens]
    fill = sum(len(b[4]) for b in bs) / sum(b[2].numel() for b in bs); sfill = sum(int((b[0] != 0).sum()) for b in bs) / sum(b[0].numel() for b in bs)
    model = Transformer(a.shape, a.vocab, a.scheme)
    opt = torch.optim.Adam(model.parameters(), lr=3e-4, betas=(0.9, 0.98), eps=1e-9, fused=True)
    fwd = torch.compile(model, dynamic=True) if a.mode == "compile" else model

    def step(b):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.dtype == "bf16"):
            loss = fwd(*b)
        loss.backward()
        opt.step(); opt.zero_grad(set_to_none=True)
        return loss

    t0 = time.perf_counter(); i = 0
    for _ in range(4 if a.mode == "compile" else 2):
        step(bs[i]); i += 1
    warm = time.perf_counter() - t0
    if a.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as pr:
            for _ in range(3): step(bs[i % len(bs)]); i += 1
        print(pr.key_averages().table(sort_by="self_cpu_time_total", row_limit=22, max_name_column_width=48)); return
    ts, toks, b0 = [], 0, busy()
    while sum(ts) < a.secs or len(ts) < a.min_updates:
        b = bs[i % len(bs)]; i += 1
        t = time.perf_counter(); step(b); ts.append(time.perf_counter() - t); toks += len(b[4])
    b1 = busy(); other = (b1[0] - b0[0] - b1[1] + b0[1]) / sum(ts)
    med = sorted(ts)[len(ts) // 2]
    print(json.dumps({"shape": a.shape, "scheme": a.scheme, "threads": a.threads, "mode": a.mode, "dtype": a.dtype,
        "alloc": os.environ.get("ALLOC", "glibc"), "updates": len(ts), "tok_s": round(toks / sum(ts)),
        "med_s": round(med, 4), "min_s": round(min(ts), 4), "max_s": round(max(ts), 4),
        "rss_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "base_MiB": base // 1024,
        "params_M": round(sum(p.numel() for p in model.parameters()) / 1e6, 2), "fill": round(fill, 3), "src_fill": round(sfill, 3), "warm_s": round(warm, 1), "other_cpus": round(other, 2)}), flush=True)


if __name__ == "__main__":
    main()
