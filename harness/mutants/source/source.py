#!/usr/bin/env python3
"""Runs the source mutants of the broker core and the client core. README.md says how."""

import argparse
import collections
import hashlib
import json
import os
import random
import re
import resource
import select
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACKAGES = ["mqttspec-broker", "mqttspec-client"]
# Options, texts for people and figures are no behaviour of the protocol; fuzzers are tests.
EXCLUDED_FILES = re.compile(r"/(options|latitude|statistics|fuzz)\.rs$|/fuzz/")
EXCLUDED_NAMES = re.compile(r"<impl (\w+::)*(Display|Debug) for | (meaning|explained|elsewhere)( |$)")
# Of a scenario with many seeds, this number is run before the generated scenarios, and all after them.
FIRST_SEEDS = 1
EXPLORED = 1500
# How often each case is run with choices that are drawn.
DRAWS = 4
PHASES = ["scenarios", "small parts", "drawn choices", "explore", "all seeds"]
# With other choices than those of the reference broker, some cases are not judged.
NEED_NOT_BE_JUDGED = ["small parts", "drawn choices"]
# A job with a mutant may take this many times the CPU time that it takes without one, and some seconds.
SLOWER, GRACE_SECONDS = 20, 1
# A process that waits for ever uses no CPU time.
STUCK_SECONDS = 600
MEMORY_BYTES = 4 << 30


def command(*words, **options):
    return subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


class Work:
    """The folder of a campaign: the copy of the tree, the list, and results by mutant."""

    def __init__(self, folder, target):
        self.folder = Path(folder).resolve()
        self.tree = self.folder / "tree"
        self.target = Path(target).resolve() if target else self.folder / "target"
        self.environment = os.environ | {
            "CARGO_TARGET_DIR": str(self.target),
            "CARGO_PROFILE_DEV_OPT_LEVEL": "2",
            "CARGO_INCREMENTAL": "0",
            "CARGO_PROFILE_DEV_DEBUG": "false",
        }

    def cargo(self, *words, check=True):
        options = {"cwd": self.tree, "env": self.environment, "text": True, "stdout": subprocess.PIPE}
        return subprocess.run(["cargo", *words], check=check, **options).stdout

    def read(self, name, default=None):
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else default

    def write(self, name, value):
        (self.folder / name).write_text(json.dumps(value))

    def results(self):
        results = {}
        for path in sorted(self.folder.glob("results*.jsonl")):
            for line in path.read_text().splitlines():
                result = json.loads(line)
                results[result["key"]] = result
        return results


# --- one build with all mutants ---


def prepare(work):
    """Copies the tree, lists the mutants, and builds the copy with all that compile."""
    copy_tree(work)
    # The numbers of mutants are new.
    (work.folder / "baseline.json").unlink(missing_ok=True)
    mutants = listed(work)
    # Files are changed from their originals each time, so that numbers stay and spans are those listed.
    originals = {mutant["file"]: (ROOT / mutant["file"]).read_text() for mutant in mutants}
    dropped = {mutant["id"]: "does not compile" for mutant in mutants if never_compiles(mutant)}
    # The compiler refuses again what it refused when the folder was prepared before.
    before = {mutant["key"]: mutant for mutant in work.read("mutants.json", [])}
    for mutant in mutants:
        earlier = before.get(mutant["key"], {})
        if earlier.get("dropped") and earlier["line"] == mutant["line"]:
            dropped[mutant["id"]] = earlier["dropped"]
    for _ in range(12):
        for file, text in originals.items():
            (work.tree / file).write_text(text)
        kept = [mutant for mutant in mutants if mutant["id"] not in dropped]
        work.write("kept.json", kept)
        rewrite = ["cargo", "run", "-q", "--release", "--target-dir", str(work.folder / "rewriter"), "--"]
        files = [str(work.folder / "kept.json"), str(work.tree), str(work.folder / "map.json")]
        command(*rewrite, *files, cwd=HERE)
        places = work.read("map.json")
        bad = {place["id"]: place["error"] for place in places if "error" in place}
        # Some lints, such as that of an overflow, are errors only when code is generated.
        placed = [place for place in places if "own" in place]
        bad |= refused(work, "check", placed, mutants) or refused(work, "build", placed, mutants)
        dropped |= bad
        print(f"{len(mutants) - len(dropped)} of {len(mutants)} mutants are left", flush=True)
        if not bad:
            break
    else:
        sys.exit("the copy does not compile")
    for mutant in mutants:
        mutant["dropped"] = dropped.get(mutant["id"])
    work.write("mutants.json", mutants)
    work.cargo("build", "-q", "-p", "mqttspec-explore", "--example", "source_mutant")


def copy_tree(work):
    copied = {file: (ROOT / file).read_bytes() for file in command("git", "ls-files", cwd=ROOT).splitlines()}
    copied["sim/core/src/source_mutant.rs"] = (HERE / "switch.rs").read_bytes()
    copied["sim/core/src/lib.rs"] += b"pub mod source_mutant;\n"
    copied["harness/explore/examples/source_mutant.rs"] = (HERE / "runner.rs").read_bytes()
    manifest = copied["harness/explore/Cargo.toml"]
    dependency = b"[dependencies]\nmqttspec-core.workspace = true\n"
    copied["harness/explore/Cargo.toml"] = manifest.replace(b"[dependencies]\n", dependency)
    for crate in ("broker", "client"):
        copied[f"sim/{crate}/src/lib.rs"] = b"#![allow(warnings)]\n" + copied[f"sim/{crate}/src/lib.rs"]
    for file, content in copied.items():
        path = work.tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file that is not written anew is not compiled anew.
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def listed(work):
    packages = [word for package in PACKAGES for word in ("-p", package)]
    mutants = json.loads(command("cargo", "mutants", "--list", "--json", *packages, cwd=work.tree))
    mutants = [
        mutant
        for mutant in mutants
        if not EXCLUDED_FILES.search(mutant["file"]) and not EXCLUDED_NAMES.search(mutant["name"])
    ]
    seen = collections.Counter()
    for number, mutant in enumerate(mutants):
        mutant["id"] = number
        name = re.sub(r":\d+:\d+: ", ": ", mutant["name"])
        seen[name] += 1
        # Without its line, so that the key outlives changes elsewhere in the file.
        mutant["key"] = f"{name} #{seen[name]}"
        lines = (ROOT / mutant["file"]).read_text().splitlines()
        mutant["line"] = lines[mutant["span"]["start"]["line"] - 1].strip()
    return mutants


def never_compiles(mutant):
    """An iterator over references, of which the one item would be a mutable reference."""
    of_iterator = ((mutant["function"] or {}).get("return_type") or "").startswith("-> impl Iterator")
    return of_iterator and "once(" in mutant["replacement"] and "Box::leak" in mutant["replacement"]


def refused(work, subcommand, places, mutants):
    """The mutants that the compiler refuses, each with the reason."""
    packages = [word for package in PACKAGES for word in ("-p", package)]
    output = work.cargo(subcommand, "-q", *packages, "--message-format=json", check=False)
    bad, failed = {}, False
    for line in output.splitlines():
        message = json.loads(line).get("message") if line.startswith("{") else None
        if not isinstance(message, dict) or message["level"] != "error":
            continue
        failed = True
        for span in message["spans"]:
            if not span["is_primary"]:
                continue
            inside = [
                place
                for place in places
                if place["file"] == span["file_name"]
                and place["site"][0] <= span["byte_start"]
                and span["byte_end"] <= place["site"][1]
            ]
            own = [p for p in inside if p["own"][0] <= span["byte_start"] and span["byte_end"] <= p["own"][1]]
            if own:
                place = min(own, key=lambda place: place["own"][1] - place["own"][0])
                bad[place["id"]] = "does not compile"
            elif inside:
                least = min(place["site"][1] - place["site"][0] for place in inside)
                for place in inside:
                    if place["site"][1] - place["site"][0] == least:
                        bad[place["id"]] = "cannot be selected: " + message["message"]
        # An arm that may be deleted has a guard, so it does not count: without it, the match has a gap.
        if (message["code"] or {}).get("code") == "E0004":
            primary = next(span for span in message["spans"] if span["is_primary"])
            ends = [span["byte_end"] for child in message["children"] for span in child["spans"]]
            for place in places:
                # The compiler proposes an arm at the last one; 400 bytes are more than the rest of that.
                own, last = place["own"], max(ends, default=0) + 400
                in_match = primary["byte_end"] <= own[0] and own[1] <= last
                of_arm = mutants[place["id"]]["genre"] == "MatchArm" and own[0] == place["site"][0]
                if place["file"] == primary["file_name"] and in_match and of_arm:
                    bad[place["id"]] = "does not compile"
        # A function that was `const` and is called where it must be.
        called = re.search(r"non-const .*function `(?:.*::)?(?:<.*>::)?(\w+)`", message["message"])
        if called:
            for mutant in mutants:
                function = mutant["function"] or {}
                if re.split("::", function.get("function_name", ""))[-1] == called[1]:
                    bad[mutant["id"]] = "cannot be selected: " + message["message"]
    if failed and not bad:
        work.cargo(subcommand, *packages)
    return bad


# --- running ---


class Runner:
    """A process of the copy, with one mutant or none."""

    def __init__(self, work, mutant):
        program = work.target / "debug/examples/source_mutant"
        self.process = subprocess.Popen(
            ["nice", "-n", os.environ.get("NICE", "10"), program, str(mutant), str(work.tree / "scenarios")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
        )
        self.rest = b""

    def cpu_seconds(self):
        # Fields 14 and 15 of the whole line: utime and stime.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def do(self, job, limit=600.0):
        """The answer to a job, also if the process ends or uses more CPU time than the limit."""
        until, patience = self.cpu_seconds() + limit, time.monotonic() + STUCK_SECONDS
        try:
            self.process.stdin.write(job.split(" @")[0].encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"found": "the process ended"}
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.5)
            if ready:
                read = os.read(self.process.stdout.fileno(), 1 << 16)
                if not read:
                    return {"found": "the process ended"}
                self.rest += read
            elif self.cpu_seconds() > until or time.monotonic() > patience:
                return {"found": "timeout"}
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def end(self):
        self.process.kill()
        self.process.wait()


def take_scenarios(work):
    """The scenarios of the repository, also those that are newer than the copy, and a digest of each."""
    ours, copied = ROOT / "scenarios", work.tree / "scenarios"
    digests = {}
    for path in sorted(ours.rglob("*.mqtt")):
        name, content = str(path.relative_to(ours)), path.read_bytes()
        digests[name] = hashlib.sha256(content).hexdigest()[:8]
        copy = copied / name
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for path in copied.rglob("*.mqtt"):
        if str(path.relative_to(copied)) not in digests:
            path.unlink()
    return digests


def baseline(work, phases, seeds):
    """Each job without a mutant: its CPU time, and the mutants whose places it reaches."""
    digests = take_scenarios(work)
    known = work.read("baseline.json", {})
    runner = Runner(work, "none")
    jobs, cases = {}, runner.do("cases")["cases"]

    def add(phase, case, seeds, latitude="reference"):
        job = f"case {case['file']} {case['index']} {seeds} {latitude} @{digests[case['file']]}"
        jobs[job] = (phase, case["name"])

    for case in cases:
        if "scenarios" in phases:
            add("scenarios", case, min(case["seeds"], FIRST_SEEDS))
        if "small parts" in phases and case["of_server"]:
            add("small parts", case, min(case["seeds"], FIRST_SEEDS), "parts=small")
        if "drawn choices" in phases:
            add("drawn choices", case, DRAWS, "drawn")
        if "all seeds" in phases and case["seeds"] > FIRST_SEEDS:
            add("all seeds", case, case["seeds"])
    if "explore" in phases:
        for seed in range(seeds):
            for role, choices in (
                ("server", ("reference", "parts=small", "drawn")),
                ("client", ("reference", "reference", "drawn")),
            ):
                jobs[f"seed {role} {seed} {choices[seed % 3]}"] = ("explore", f"{role} {seed}")
    for number, (job, (phase, name)) in enumerate(jobs.items()):
        if job in known:
            continue
        started = runner.cpu_seconds()
        answer = runner.do(job)
        if "found" in answer:
            if answer["found"] != "not judged" or phase not in NEED_NOT_BE_JUDGED:
                why = answer.get("by") or answer["found"]
                print(f"left out, since it fails without a mutant: {job}: {why}", flush=True)
            answer["reached"] = []
        seconds = runner.cpu_seconds() - started
        known[job] = {"phase": phase, "name": name, "seconds": seconds, "reached": answer["reached"]}
        if number % 50 == 0:
            work.write("baseline.json", known)
    runner.end()
    work.write("baseline.json", known)
    return {job: known[job] for job in jobs}


def run(work, phases, shard, end, like=None, skipped=lambda mutant: False, only="", seeds=EXPLORED):
    known = baseline(work, phases, seeds)
    jobs_of = collections.defaultdict(list)
    for job, of_job in known.items():
        for mutant in of_job["reached"]:
            jobs_of[mutant].append(job)
    index, count = (int(number) for number in shard.split("/"))
    done, kills = work.results(), collections.Counter()
    hints = like.results() if like else {}
    mutants = [mutant for mutant in work.read("mutants.json") if not mutant["dropped"]]
    mutants = [mutant for mutant in mutants if re.search(only, mutant["key"])]
    # In an order of no meaning, so that the results of a part are those of a sample.
    random.Random(1).shuffle(mutants)
    # Those that survived may be found by what is new, so they are first.
    mutants.sort(key=lambda mutant: mutant["key"] not in done)
    with (work.folder / f"results-{index}-of-{count}.jsonl").open("a") as output:
        for mutant in mutants:
            if mutant["id"] % count != index - 1 or time.monotonic() > end:
                continue
            before = done.get(mutant["key"], {})
            done_jobs = before.get("jobs", [])
            jobs = [job for job in jobs_of[mutant["id"]] if job not in done_jobs]
            if "found" in before or (before and not jobs):
                continue
            if before and skipped(mutant):
                continue
            result = judge(work, mutant, jobs, known, kills, hints.get(mutant["key"], {}).get("job"))
            if "found" not in result:
                result["jobs"] = done_jobs + jobs
                result["phase"] = "survived" if result["jobs"] else "not reached"
            output.write(json.dumps({"key": mutant["key"]} | result) + "\n")
            output.flush()


def judge(work, mutant, jobs, known, kills, hint):
    """Runs jobs that reach a mutant until one fails: those first that often do, after the one of a hint."""
    function = mutant["file"] + (mutant["function"] or {}).get("function_name", "")

    def order(job):
        name, seconds = known[job]["name"], known[job]["seconds"]
        score = (8 * kills[function, name] + kills[name] + 0.2) / (seconds + 0.01)
        return name != hint, PHASES.index(known[job]["phase"]), -score

    runner = Runner(work, mutant["id"])
    try:
        for job in sorted(jobs, key=order):
            of_job = known[job]
            answer = runner.do(job, GRACE_SECONDS + SLOWER * of_job["seconds"])
            if "found" in answer:
                kills[function, of_job["name"]] += 1
                kills[of_job["name"]] += 1
                return {"phase": of_job["phase"], "job": of_job["name"]} | answer
    finally:
        runner.end()
    return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["prepare", "run", "page"])
    parser.add_argument("--work", required=True, help="the folder of the campaign")
    parser.add_argument("--target", help="a target folder of cargo to use")
    parser.add_argument("--shard", default="1/1")
    parser.add_argument("--for", dest="minutes", type=float, default=1e6, help="minutes")
    parser.add_argument("--phases", default=",".join(PHASES), help="which jobs; all by default")
    parser.add_argument("--like", help="a campaign before: what found a mutant there is run first")
    conforming = "leave out survivors that conform by survivors.toml"
    parser.add_argument("--skip-conforming", action="store_true", help=conforming)
    parser.add_argument("--only", default="", help="a regular expression for the names of the mutants")
    parser.add_argument("--seeds", type=int, default=EXPLORED, help="how many generated scenarios")
    arguments = parser.parse_args()
    work = Work(arguments.work, arguments.target)
    work.folder.mkdir(parents=True, exist_ok=True)
    if arguments.command == "prepare":
        prepare(work)
    elif arguments.command == "run":
        from page import conforms

        like = arguments.like and Work(arguments.like, None)
        skipped = conforms if arguments.skip_conforming else lambda mutant: False
        end = time.monotonic() + 60 * arguments.minutes
        run(work, arguments.phases.split(","), arguments.shard, end, like, skipped, arguments.only, arguments.seeds)
    else:
        from page import write

        write(work.read("mutants.json"), work.results())


if __name__ == "__main__":
    main()
