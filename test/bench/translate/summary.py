"""Ratios out of what run.sh wrote.  usage: summary.py SHAPE FOLDER"""
import json
import statistics
import sys

shape, folder = sys.argv[1:]
rows = [json.loads(line) for line in open(folder + "/results.jsonl")]


def median(who, precision, beam, key):
    return statistics.median(r[key] for r in rows if r["what"] == "column" and r["who"] == who and
                             r["precision"] == precision and r["beam"] == beam)


print(f"{shape:6} {'precision':9} {'beam':>4} {'ours/s':>8} {'peer/s':>8} {'ratio':>6} {'ms of CPU a sentence':>21} {'ratio':>6}  the peer's batch, packed")
for precision, beam in dict.fromkeys((r["precision"], r["beam"]) for r in rows if r["what"] == "column"):
    n = next(r["rows"] for r in rows if r["what"] == "column")
    settings = next(r for r in rows if r["what"] == "column" and r["who"] == "CTranslate2" and
                    (r["precision"], r["beam"]) == (precision, beam))
    ours, peer = (median(who, precision, beam, "seconds") for who in ("residual", "CTranslate2"))
    cpu, peer_cpu = (1e3 * median(who, precision, beam, "cpu") / n for who in ("residual", "CTranslate2"))
    print(f"{'':6} {precision:9} {beam:4} {n / ours:8.0f} {n / peer:8.0f} {peer / ours:6.2f} {cpu:10.3f} {peer_cpu:10.3f} {peer_cpu / cpu:6.2f}  "
          f"{settings['batch']}, {'yes' if settings['packed'] == '1' else 'no'}")
singles = sorted(float(line) for line in open(folder + "/singles.txt"))
peer = next(r for r in rows if r["what"] == "singles")
print(f"{'':6} one sentence, ms: p50 {singles[len(singles) // 2]:.2f} p99 {singles[int(len(singles) * .99)]:.2f}, "
      f"peer {peer['p50']:.2f} {peer['p99']:.2f}")
memory = next(r for r in rows if r["what"] == "memory")
print(f"{'':6} memory of the engine, MiB: {memory['one']} with one session, {memory['twenty']} with twenty; "
      f"peer {peer['rss']} a process")
