#!/usr/bin/env python3
"""Runs fuzz targets for a time, and adds what libFuzzer counted to FIGURES.md.

fuzz/campaign.py --for 10m decode broker      # each target for ten minutes, one after the other
fuzz/campaign.py --minimise decode broker     # removes inputs that add no coverage

Campaigns on different days add up: inputs that reach new code are added to corpus/, and the figures of
FIGURES.md are sums. cargo-fuzz and a nightly toolchain must be installed. The cores and the codec have
no unsafe code, so no sanitizer is needed; overflows and debug assertions are checked.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "FIGURES.md"
TARGETS = ["decode", "decode_encode_decode", "notation", "broker", "client"]
UNITS = {"s": 1, "m": 60, "h": 3600}
HEAD = """# Fuzz campaigns

`fuzz/campaign.py` writes this page: sums of libFuzzer's own counts over all campaigns since the first row was
written. An execution of `broker` or `client` is one schedule of inputs.

| target | executions | seconds | executions per second | features reached | inputs in the corpus | failures |
|---|--:|--:|--:|--:|--:|--:|
"""


def read():
    counts = ("executions", "seconds", "features", "failures")
    figures = {target: dict.fromkeys(counts, 0) for target in TARGETS}
    for line in PAGE.read_text().splitlines() if PAGE.exists() else []:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in figures:
            executions, seconds, _, features, _, failures = (
                int(cell.replace(",", "")) for cell in cells[1:]
            )
            figures[cells[0]] = dict(zip(counts, (executions, seconds, features, failures)))
    return figures


def write(figures):
    rows = ""
    for target, of in figures.items():
        rate = of["executions"] // max(1, of["seconds"])
        inputs = sum(1 for _ in (HERE / "corpus" / target).iterdir())
        counts = (of["executions"], of["seconds"], rate, of["features"], inputs, of["failures"])
        rows += f"| {target} | " + " | ".join(f"{count:,}" for count in counts) + " |\n"
    PAGE.write_text(HEAD + rows)


def binary(target):
    build = ["cargo", "+nightly", "fuzz", "build", "--sanitizer", "none", target]
    subprocess.run(build, cwd=HERE.parent, check=True)
    found = list((HERE / "target").glob(f"*/release/{target}"))
    return found[0] if found else sys.exit(f"{target} was not built")


def fuzz(target, seconds, figures):
    (HERE / "artifacts" / target).mkdir(parents=True, exist_ok=True)
    words = [f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096"]
    words += [f"-artifact_prefix=artifacts/{target}/", f"corpus/{target}"]
    # A failure ends libFuzzer with its figures, too: its input is in artifacts/.
    ran = subprocess.run([binary(target), *words], cwd=HERE, text=True, errors="replace", capture_output=True)
    executions = re.search(r"stat::number_of_executed_units: *(\d+)", ran.stderr)
    if executions is None:
        sys.exit(ran.stderr[-2000:])
    took = re.search(r"Done \d+ runs in (\d+) second", ran.stderr)
    of = figures[target]
    of["executions"] += int(executions[1])
    of["seconds"] += int(took[1]) if took else seconds
    of["features"] = max([of["features"], *map(int, re.findall(r" ft: (\d+)", ran.stderr))])
    # A run that a signal ended has none.
    if "Test unit written to" in ran.stderr:
        of["failures"] += 1
        print(ran.stderr[-2000:])


def minimise(target):
    corpus = HERE / "corpus" / target
    with tempfile.TemporaryDirectory(dir=HERE / "corpus") as least:
        subprocess.run([binary(target), "-merge=1", least, corpus], cwd=HERE, check=True, capture_output=True)
        if not any(Path(least).iterdir()):
            sys.exit(f"{target}: no input is left")
        shutil.rmtree(corpus)
        shutil.copytree(least, corpus)


def seconds_of(text):
    number = re.fullmatch(r"(\d+)([smh])", text)
    if number is None:
        raise argparse.ArgumentTypeError("a number with s, m or h")
    return int(number[1]) * UNITS[number[2]]


def main():
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    time_help = "how long, for each target: 30s, 10m, 2h"
    parser.add_argument("--for", dest="seconds", type=seconds_of, help=time_help)
    parser.add_argument("--minimise", action="store_true", help="minimise the corpora at the end")
    parser.add_argument("targets", nargs="*", help="all by default: " + " ".join(TARGETS))
    arguments = parser.parse_args()
    figures = read()
    for target in arguments.targets or TARGETS:
        if target not in figures:
            parser.error(f"`{target}` is not one of {' '.join(TARGETS)}")
        if arguments.seconds:
            fuzz(target, arguments.seconds, figures)
        if arguments.minimise:
            minimise(target)
        write(figures)


if __name__ == "__main__":
    main()
