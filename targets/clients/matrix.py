#!/usr/bin/env python3
"""Runs the suite several times on each client library of this folder, and compares the verdicts.

    python3 targets/clients/matrix.py --program target/release/mqttspec --dir target/clients

installs the libraries below --dir, runs each three times (the last time with all cores busy) and
prints the table of FINDINGS.md and the failed cases. `paho-mqtt rumqttc-v5@0.24.0` runs only these,
the second in another release; `--old` runs the old and the fixed releases of FINDINGS.md. The exit
code is 1 if two runs of a library differ. README.md has what has to be installed before.
"""

import argparse
import collections
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent

# Name, release, versions of MQTT, how it is installed and its file or argument.
LIBRARIES = {
    "reference": ("", "3.1.1, 5.0", "reference", ""),
    "paho-mqtt": ("2.1.0", "3.1.1, 5.0", "pip", "paho_mqtt.py"),
    "gmqtt": ("0.7.0", "3.1.1, 5.0", "pip", "gmqtt_client.py"),
    "mqtt": ("5.14.1", "3.1.1, 5.0", "npm", "mqttjs.cjs"),
    "libmosquitto": ("", "3.1.1, 5.0", "cc", "libmosquitto.c"),
    "paho_c": ("", "3.1.1, 5.0", "cc", "paho_c.c"),
    "rumqttc-v4": ("0.25.1", "3.1.1", "cargo", "v4"),
    "rumqttc-v5": ("0.25.1", "5.0", "cargo", "v5"),
    "rumqttc-next": ("0.34.0", "5.0", "cargo", "next"),
}

# A fault that the tracker of the library reports: in the first release, and mended in the second.
OLD = [
    ("rumqttc-v5@0.24.0", "rumqttc-v5@0.25.1", "forgets-a-session-that-the-server-lost"),
    ("paho-mqtt@2.1.0", "paho-mqtt@2.2.0", "keeps-to-server-keep-alive"),
    ("mqtt@5.14.1", "mqtt@5.16.0", "receive-maximum-of-its-own"),
]

VERDICTS = ["pass", "fail", "contested", "skip", "not-judged", "error"]


def call(*command, **options):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)


class Library:
    def __init__(self, text, options):
        self.name, _, release = text.partition("@")
        default, self.versions, self.kind, self.file = LIBRARIES[self.name]
        self.release = release or default
        self.program = str(pathlib.Path(options.program).resolve())
        self.key = f"{self.name}-{self.release}" if self.release else self.name
        self.dir = pathlib.Path(options.dir).resolve() / self.key

    def install(self):
        """Installs the library, and returns the command of its adapter."""
        self.dir.mkdir(parents=True, exist_ok=True)
        words = getattr(self, self.kind)()
        self.command = shlex.join(map(str, words))
        return self

    def reference(self):
        return [self.program, "adapter", "--reference"]

    def pip(self):
        python = self.dir / "venv/bin/python"
        if not python.exists():
            call(sys.executable, "-m", "venv", self.dir / "venv")
        call(python, "-m", "pip", "install", "-q", f"{self.name}=={self.release}")
        return [python, HERE / self.file]

    def npm(self):
        if not (self.dir / "node_modules").exists():
            call("npm", "install", "--prefix", self.dir, "--no-audit", f"{self.name}@{self.release}")
        return ["env", f"NODE_PATH={self.dir / 'node_modules'}", "node", HERE / self.file]

    def cc(self):
        text = (HERE / self.file).read_text()
        libraries = re.search(r"cc -o \S+ \S+ (-l.*)", text).group(1).split()
        call("cc", "-o", self.dir / self.name, HERE / self.file, *libraries)
        return [self.dir / self.name]

    def cargo(self):
        """One build serves all parts of the adapter that have the release of their manifest."""
        package = "rumqttc_next" if self.file == "next" else "rumqttc"
        manifest = (HERE / "rumqttc/Cargo.toml").read_text()
        pattern = rf'(?m)^({package} = .*version = "=)[^"]*'
        release = re.search(pattern + '"', manifest).group(0).split('"=')[1].rstrip('"')
        source, target = HERE / "rumqttc", self.dir.parent / "rumqttc"
        locked = ["--locked"]
        if release != self.release:
            source, target, locked = self.dir / "source", self.dir / "target", []
            shutil.copytree(HERE / "rumqttc", source, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target"))
            (source / "Cargo.toml").write_text(re.sub(pattern, rf"\g<1>{self.release}", manifest))
        call("cargo", "build", "-q", "--release", *locked, "--manifest-path", source / "Cargo.toml",
             "--target-dir", target)
        return [target / "release/mqttspec-rumqttc-adapter", self.file]

    def run(self, number, filters):
        """One run of the suite: the seconds that it took, and the report."""
        report = self.dir / f"run-{number}"
        command = [self.program, "run", *filters, "--client", self.command, "--report", str(report)]
        began = time.monotonic()
        with open(self.dir / f"run-{number}.txt", "w", encoding="utf-8") as output:
            subprocess.run(command, stdout=output, stderr=output, check=False)
        return time.monotonic() - began, json.loads((report / "report.json").read_text())


def verdict(case):
    if case["verdict"] == "fail" and case["reading"]:
        return "contested"
    return case["verdict"]


def key(case):
    return " ".join(filter(None, [case["file"].removesuffix(".mqtt"), case["version"], case["row"]]))


def blamed(case):
    """The clauses that a failure blames, with the level."""
    clauses = {one["clause"] for failure in case["failures"] for one in failure["requirements"]}
    return f"{case['level']}: {' '.join(sorted(clauses))}" if case["failures"] else ""


def spin():
    while True:
        pass


def series(libraries, options):
    """All runs of all libraries: by library, the list of its runs. The last run has busy cores."""
    runs = collections.defaultdict(list)
    for number in range(1, options.runs + 1):
        is_busy = number == options.runs > 1
        spinning = [multiprocessing.Process(target=spin, daemon=True) for _ in range(os.cpu_count() * is_busy)]
        for process in spinning:
            process.start()
        with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
            ran = pool.map(lambda one: (one, one.run(number, options.filter)), libraries)
            for library, result in ran:
                runs[library].append(result)
        for process in spinning:
            process.kill()
    return runs


def differences(reports):
    """The cases whose verdicts differ between runs, and those whose failures blame other clauses."""
    of_case = collections.defaultdict(list)
    for report in reports:
        for case in report["cases"]:
            of_case[key(case)].append((verdict(case), blamed(case)))
    for name, found in of_case.items():
        if len({one for one, _ in found}) > 1 or len(found) < len(reports):
            yield name, " -> ".join(one for one, _ in found), True
        elif len(set(found)) > 1:
            yield name, " -> ".join(clauses for _, clauses in found), False


def table(runs):
    print("| library | passed | failed | contested | skipped | not judged | errors | time |")
    print("|---|---|---|---|---|---|---|---|")
    for library, results in runs.items():
        seconds, report = results[0]
        counts = collections.Counter(map(verdict, report["cases"]))
        numbers = " | ".join(str(counts[one]) for one in VERDICTS)
        times = ", ".join(f"{seconds:.0f}" for seconds, _ in results)
        print(f"| {library.key} ({library.versions}) | {numbers} | {times} s |")


def failures(runs):
    """Every case that did not pass in the first run, with the libraries."""
    of_case = collections.defaultdict(list)
    for library, results in runs.items():
        for case in results[0][1]["cases"]:
            if case["verdict"] in ("fail", "not-judged", "error"):
                of_case[key(case)].append((library.key, verdict(case), blamed(case) or case["reason"]))
    for name, found in sorted(of_case.items()):
        print(f"\n{name}")
        for library, outcome, why in found:
            print(f"    {library}: {outcome}: {why}")


def old_releases(options):
    """Whether each fault is found in the old release and not in the fixed one."""
    as_said = True
    print("| scenario | old release | fixed release |")
    print("|---|---|---|")
    for *releases, scenario in OLD:
        verdicts = []
        for text in releases:
            _, report = Library(text, options).install().run("old", [scenario])
            verdicts.append("/".join(sorted({case["verdict"] for case in report["cases"]} - {"skip"})))
        as_said &= verdicts == ["fail", "pass"]
        print(f"| {scenario} | {releases[0]}: {verdicts[0]} | {releases[1]}: {verdicts[1]} |", flush=True)
    return as_said


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="target/release/mqttspec")
    parser.add_argument("--dir", required=True, help="the libraries and reports; kept for the next time")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=3, help="libraries that run side by side")
    parser.add_argument("--filter", action="append", default=[], help="scenarios, as for `mqttspec run`")
    parser.add_argument("--old", action="store_true", help="the old and the fixed releases")
    parser.add_argument("library", nargs="*", help="NAME or NAME@RELEASE: " + " ".join(LIBRARIES))
    options = parser.parse_args()
    if options.old:
        sys.exit(not old_releases(options))
    libraries = [Library(text, options).install() for text in options.library or LIBRARIES]
    runs = series(libraries, options)
    table(runs)
    failures(runs)
    differ = False
    for library, results in runs.items():
        for name, how, is_verdict in differences([report for _, report in results]):
            differ |= is_verdict
            print(f"\n{library.key} {name}: {'verdicts' if is_verdict else 'clauses'} differ: {how}")
    sys.exit(differ)


if __name__ == "__main__":
    main()
