"""Start to first byte, a chain of 1,000 operators, memory of an idle pipeline. Started by `cargo xtask bench`."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write(path: Path, pipeline: dict) -> Path:
    path.write_text(json.dumps(pipeline))
    return path


def first_byte(binary: str, folder: Path, runs: int) -> None:
    """One CSV row through a cached plugin to standard output: from exec to the first byte."""
    (folder / "one.csv").write_text("id,amount,name\n1,2.5,abc123\n")
    pipeline = write(folder / "one.yaml", {
        "name": "one",
        "sources": [{"id": "rows", "csv": {"path": "one.csv"}}],
        "transforms": [{"id": "scale", "wasm": {"plugin": str(ROOT / "out/plugins/bench-hop.wasm"), "config": {"function": "scale"}}}],
        "sinks": [{"id": "shown", "stdout": {"format": "csv"}}],
        "edges": [["rows", "scale"], ["scale", "shown"]],
    })
    times = []
    for _ in range(runs + 2):
        began = time.monotonic()
        child = subprocess.Popen([binary, "run", str(pipeline)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout.read(1), "nothing was printed"
        times.append((time.monotonic() - began) * 1000)
        child.stdout.read()
        assert child.wait() == 0
    times = sorted(times[2:])
    p99 = times[int(len(times) * 0.99)]
    print(f"exec to first byte, cached plugin, n = {runs}: p50 {statistics.median(times):.0f} ms, p99 {p99:.0f} ms (target p50 100 ms)")


def chain(binary: str, folder: Path, length: int, runs: int) -> None:
    """`length` sql operators in a row over one CSV row."""
    (folder / "row.csv").write_text("a,b\n1,x\n")
    ids = [f"q{n}" for n in range(length)]
    transforms = [{"id": name, "sql": {"query": f"SELECT a + 1 AS a, b FROM {before}"}} for before, name in zip(["rows", *ids], ids)]
    pipeline = write(folder / "chain.yaml", {
        "name": "chain",
        "sources": [{"id": "rows", "csv": {"path": "row.csv"}}],
        "transforms": transforms,
        "sinks": [{"id": "shown", "stdout": {"format": "csv"}}],
        "edges": [list(edge) for edge in zip(["rows", *ids], [*ids, "shown"])],
    })
    times = []
    for _ in range(runs):
        began = time.monotonic()
        out = subprocess.run([binary, "run", str(pipeline)], capture_output=True, text=True)
        times.append(time.monotonic() - began)
        assert out.returncode == 0, out.stderr
        assert f"{length + 1},x" in out.stdout, out.stdout
    print(f"{length} sql operators in one chain, n = {runs}: median {statistics.median(times):.2f} s, max {max(times):.2f} s (target 2 s)")


def idle(binary: str, folder: Path, seconds: float) -> None:
    """A two-operator pipeline on an open, silent FIFO."""
    fifo = folder / "silent.csv"
    os.mkfifo(fifo)
    pipeline = write(folder / "idle.yaml", {
        "name": "idle",
        "sources": [{"id": "rows", "csv": {"path": str(fifo), "schema": {"a": "int64", "b": "utf8"}}}],
        "sinks": [{"id": "shown", "stdout": {"format": "csv"}}],
        "edges": [["rows", "shown"]],
    })
    child = subprocess.Popen([binary, "run", str(pipeline)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(fifo, "w"):
        time.sleep(seconds)
        assert child.poll() is None, "the pipeline ended"
        status = Path(f"/proc/{child.pid}/status").read_text()
        kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        print(f"idle for {seconds:.0f} s on a silent FIFO: {kib / 1024:.0f} MiB resident (target 60 MiB)")
    assert child.wait(timeout=20) == 0


def main() -> None:
    binary = sys.argv[1]
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        first_byte(binary, folder, 50)
        chain(binary, folder, 1000, 6)
        idle(binary, folder, 10)


main()
