"""CSV -> SQL -> Parquet (zstd-1) on one core: RDE beside DuckDB, Polars and DataFusion on the same bytes.

Each run is a process of its own, pinned to one core; the engines alternate, so that a machine whose speed drifts hurts all alike.
CPU seconds are the system's own accounting: the whole process for RDE, and for the Python packages from after their imports on.
One engine runs twice per round (A/A): a claim smaller than twice that difference is no claim. Started by `cargo xtask bench`.
"""

import gzip
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SELECTIVE = "SELECT carrier, flight, tailnum, origin, dest, dep_delay, distance FROM flights WHERE dep_delay > 15"
EVERYTHING = "SELECT * FROM flights"
RANDOM_COLUMNS = 19
CORE = os.environ.get("RDE_BENCH_CORE", "0")


def make_flights(folder: Path, megabytes: int) -> tuple[Path, Path]:
    """The flights, repeated; once with NA for null and once with nothing, since DataFusion reads no other null."""
    with_na, empty = folder / f"flights-{megabytes}.csv", folder / f"flights-{megabytes}-empty.csv"
    if with_na.exists() and empty.exists():
        return with_na, empty
    months = sorted((ROOT / "configs/data/flights").glob("*.csv.gz"))
    texts = [gzip.open(month, "rb").read() for month in months]
    header = texts[0].split(b"\n", 1)[0] + b"\n"
    body = b"".join(text.split(b"\n", 1)[1] for text in texts)
    blank = b"\n".join(b",".join(b"" if v == b"NA" else v for v in row.split(b",")) for row in body.split(b"\n"))
    repeats = -(-megabytes * 1_000_000 // len(body))
    for path, rows in ((with_na, body), (empty, blank)):
        with open(path, "wb") as file:
            file.write(header)
            for _ in range(repeats):
                file.write(rows)
    return with_na, empty


def make_random(folder: Path, megabytes: int) -> Path:
    """Columns whose values hardly repeat: integers, floats and text in turn."""
    path = folder / f"random-{megabytes}.csv"
    if path.exists():
        return path
    rng = random.Random(1)
    with open(path, "w") as file:
        file.write(",".join(f"c{n}" for n in range(RANDOM_COLUMNS)) + "\n")
        while file.tell() < megabytes * 1_000_000:
            rows = []
            for _ in range(10_000):
                row = []
                for column in range(RANDOM_COLUMNS):
                    kind = column % 3
                    if kind == 0:
                        row.append(str(rng.getrandbits(40)))
                    elif kind == 1:
                        row.append(f"{rng.random() * 1000:.6f}")
                    else:
                        row.append(f"{rng.getrandbits(48):012x}")
                rows.append(",".join(row))
            file.write("\n".join(rows) + "\n")
    return path


def rde(binary: str, query: str, source: Path, output: Path) -> list[str]:
    pipeline = output.parent / "pipeline.yaml"
    pipeline.write_text(json.dumps({
        "name": "bench",
        "sources": [{"id": "flights", "csv": {"path": str(source), "null_values": ["NA", ""]}}],
        "transforms": [{"id": "query", "sql": {"query": query}}],
        "sinks": [{"id": "table", "parquet": {"path": str(output), "if_exists": "replace", "compression": "zstd(1)"}}],
        "edges": [["flights", "query"], ["query", "table"]],
    }))
    return [binary, "run", str(pipeline)]


PEERS = {
    "duckdb": """
import duckdb
start()
c = duckdb.connect(); c.execute("SET threads=1")
q = query.replace("FROM flights", "FROM read_csv('%s', nullstr=['NA',''])" % source)
c.execute(f"COPY ({q}) TO '{output}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
""",
    "polars": """
import polars as pl
start()
frame = pl.scan_csv(source, null_values=["NA", ""], infer_schema_length=20480)
if "WHERE" in query:
    names = [n.strip() for n in query.split("SELECT")[1].split("FROM")[0].split(",")]
    frame = frame.filter(pl.col("dep_delay") > 15).select(names)
frame.sink_parquet(output, compression="zstd", compression_level=1)
""",
    "datafusion": """
import datafusion
start()
config = datafusion.SessionConfig().with_target_partitions(1)
c = datafusion.SessionContext(config)
c.register_csv("flights", source, schema_infer_max_records=20480)
c.sql(query).write_parquet(output, compression="zstd", compression_level=1)
""",
}

CHILD = """
import resource, sys, json
query, source, output = sys.argv[1:4]
def used():
    u = resource.getrusage(resource.RUSAGE_SELF); return u.ru_utime + u.ru_stime
before = [0.0]
def start(): before[0] = used()
%s
print()
print("core-seconds", used() - before[0])
"""


def measure(command: list[str], inside: bool) -> tuple[float, int, float]:
    """Returns CPU seconds, peak resident bytes and wall seconds of one pinned process."""
    env = dict(os.environ, POLARS_MAX_THREADS="1", RAYON_NUM_THREADS="1", TOKIO_WORKER_THREADS="1")
    began = time.monotonic()
    child = subprocess.Popen(["taskset", "-c", CORE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    out, err = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    if status != 0:
        raise SystemExit(f"{command} failed:\n{err.decode()}")
    # A peer may print something of its own too.
    said = [line.split()[1] for line in out.decode().splitlines() if line.startswith("core-seconds ")]
    cpu = float(said[0]) if inside else usage.ru_utime + usage.ru_stime
    return cpu, usage.ru_maxrss * 1024, wall


ANSWER = """
import duckdb, json, sys
source = sys.argv[1]
duckdb.sql("SET enable_progress_bar = false")
names = [row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{source}'").fetchall()]
# Types differ by a name only (an integer column that one engine reads as DOUBLE is not): compare the values as text.
row = " || '|' || ".join(f"coalesce(CAST(\\"{n}\\" AS VARCHAR), '')" for n in names if not n.startswith("time_"))
print(json.dumps([names, str(duckdb.sql(f"SELECT count(*), sum(hash({row})::HUGEINT) FROM '{source}'").fetchone())]))
"""


def answer(path: Path) -> list:
    """Names, row count and hash of a table. In a process of its own: a child's peak of memory begins with its parent's."""
    source = f"{path}/*.parquet" if path.is_dir() else str(path)
    return json.loads(subprocess.run([sys.executable, "-c", ANSWER, source], check=True, capture_output=True, text=True).stdout)


def commands(binary: str, query: str, na: Path, empty: Path, folder: Path) -> dict[str, tuple[list[str], bool, Path]]:
    found = {}
    for name in ("rde", "duckdb", "polars", "datafusion"):
        output = folder / name / ("table.parquet")
        output.parent.mkdir(exist_ok=True)
        if name == "rde":
            found[name] = (rde(binary, query, na, output), False, output)
        else:
            source = empty if name == "datafusion" else na
            found[name] = ([sys.executable, "-c", CHILD % PEERS[name], query, str(source), str(output)], True, output)
    return found


def compare(title: str, target: float, binary: str, query: str, na: Path, empty: Path, rounds: int, check: bool) -> dict:
    with tempfile.TemporaryDirectory(dir=na.parent) as temp:
        todo = commands(binary, query, na, empty, Path(temp))
        answers = {}
        for name, (command, inside, output) in todo.items():
            output.unlink(missing_ok=True)
            measure(command, inside)
            answers[name] = answer(output)
        if check and len({repr(found) for found in answers.values()}) != 1:
            print(f"  answers differ: {answers}")
        if answers["rde"][1][0] != answers["duckdb"][1][0]:
            raise SystemExit(f"{title}: answers differ: {answers}")
        figures = {name: [] for name in [*todo, "rde again"]}
        for _ in range(rounds):
            for name in figures:
                command, inside, output = todo["rde" if name == "rde again" else name]
                output.unlink(missing_ok=True)
                figures[name].append(measure(command, inside))
    size = na.stat().st_size / 1e6
    print(f"\n{title} ({size:.0f} MB, n = {rounds}, core-seconds median [min - max], MB per core-second, resident MiB)")
    medians = {}
    for name, runs in figures.items():
        cpu = sorted(run[0] for run in runs)
        medians[name] = statistics.median(cpu)
        rss = max(run[1] for run in runs) / 2**20
        print(f"  {name:<11}{medians[name]:7.2f} [{cpu[0]:.2f} - {cpu[-1]:.2f}] {size / medians[name]:8.0f} {rss:8.0f}")
    best = min(value for name, value in medians.items() if not name.startswith("rde"))
    ratio, floor = best / medians["rde"], abs(medians["rde"] / medians["rde again"] - 1)
    print(f"  best peer / rde: {ratio:.2f}x (target {target}x); A/A difference {floor * 100:.1f} %")
    return {"title": title, "ratio": ratio, "target": target, "aa": floor, "medians": medians,
            "rss_mib": max(run[1] for run in figures["rde"]) / 2**20}


def main() -> None:
    binary = sys.argv[1]
    long = "--long" in sys.argv
    megabytes = int(os.environ.get("RDE_BENCH_MB", "620"))
    rounds = int(os.environ.get("RDE_BENCH_ROUNDS", "12" if long else "6"))
    folder = Path(os.environ.get("RDE_BENCH_DIR", tempfile.gettempdir())) / "rde-bench"
    folder.mkdir(parents=True, exist_ok=True)
    na, empty = make_flights(folder, megabytes)
    rand = make_random(folder, megabytes)
    results = [
        compare("selective: a fifth of the rows, 7 columns", 2.5, binary, SELECTIVE, na, empty, rounds, True),
        compare("everything: all rows and columns", 1.4, binary, EVERYTHING, na, empty, rounds, True),
        compare("unique: 19 columns of unique random values", 1.1, binary, EVERYTHING, rand, rand, rounds, False),
    ]
    print(json.dumps(results))


main()
