"""Writes SOURCE.md from the results of a campaign and survivors.toml."""

import collections
import functools
import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEAD = """# Source mutants of the cores

cargo-mutants lists small changes of the sources of the broker core and the client core: another operator, a
function that returns a constant, an arm of a `match` that is gone. Options, latitude, figures, fuzzers and texts
for people are left out. This page says which of them the scenarios and generated scenarios find.
[README.md](README.md) says how it is written.

"""


def write(mutants, results):
    reasons = survivor_reasons()
    used = set()
    rows, survivors, missing = [], [], []
    for package in sorted({mutant["package"] for mutant in mutants}):
        counts = collections.Counter()
        for mutant in (mutant for mutant in mutants if mutant["package"] == package):
            counts["listed"] += 1
            kind = kind_of(mutant, results.get(mutant["key"]))
            if kind in ("survived", "not reached", "cannot be selected"):
                text = described(mutant)
                reason = reason_for(text, reasons, used)
                survivors.append((text, kind, reason))
                counts[kind] += 1
                kind = "unargued" if reason is None else reason["verdict"]
                if reason is None:
                    missing.append(f"{text} ({kind})")
            counts[kind] += 1
        rows.append((package, counts))
    text = HEAD + part(mutants, results) + table(rows, [result for result in results.values() if "found" in result])
    text += survivor_tables(survivors)
    (HERE / "SOURCE.md").write_text(text)
    for number, reason in enumerate(reasons):
        if number not in used:
            print("no survivor:", reason["mutants"])
    for key in missing:
        print("no reason:", key)


def part(mutants, results):
    viable = [mutant for mutant in mutants if not mutant["dropped"]]
    left = sum(mutant["key"] not in results for mutant in viable)
    if left == 0:
        return ""
    return f"**This is a random part: {len(viable) - left} of {len(viable)} mutants have been run.**\n\n"


def kind_of(mutant, result):
    if mutant["dropped"]:
        return "not viable" if mutant["dropped"] == "does not compile" else "cannot be selected"
    if result is None:
        return "not run"
    return result["phase"]


def conforms(mutant):
    """Whether survivors.toml says so."""
    reason = reason_for(described(mutant), survivor_reasons(), set())
    return reason is not None and reason["verdict"] == "conforming"


def described(mutant):
    return f"{mutant['key']}: `{mutant['line']}`"


@functools.cache
def survivor_reasons():
    return tomllib.loads((HERE / "survivors.toml").read_text())["survivors"]


def reason_for(key, reasons, used):
    for number, reason in enumerate(reasons):
        if re.search(reason["mutants"], key):
            used.add(number)
            verdict = "breaks" if "breaks" in reason else "conforming"
            return {"verdict": verdict, "why": reason["because"], "breaks": reason.get("breaks", "")}
    return None


COLUMNS = [
    ("listed", "listed"),
    ("not viable", "do not compile"),
    ("not run", "not run"),
    ("scenarios", "found by scenarios"),
    ("small parts", "by scenarios with small parts"),
    ("drawn choices", "by scenarios with drawn choices"),
    ("explore", "by generated runs"),
    ("all seeds", "by all seeds of a scenario"),
    ("survived", "not found"),
    ("not reached", "never executed"),
    ("cannot be selected", "not in the build"),
    ("conforming", "of the last three: conforming"),
    ("breaks", "break a clause"),
    ("unargued", "not argued yet"),
    ("rate", "found of those that do not conform"),
]


# The phases of source.py.
FOUND = ["scenarios", "small parts", "drawn choices", "explore", "all seeds"]

WORDS = {"error": "an error of the run", "not judged": "set-up that fails"}


def table(rows, found):
    rows = rows + [("both", sum((counts for _, counts in rows), collections.Counter()))]
    text = "| | " + " | ".join(package for package, _ in rows) + " |\n|---|" + "---|" * len(rows) + "\n"
    for column, title in COLUMNS:
        text += f"| {title} | " + " | ".join(cell(counts, column) for _, counts in rows) + " |\n"
    how = collections.Counter()
    for result in found:
        if result["found"] == "fail":
            how["a finding that cites clauses" if result.get("clauses") else "another finding"] += 1
        else:
            how[WORDS.get(result["found"], result["found"])] += 1
    text += "\nHow they are found: " + ", ".join(f"{what} {count}" for what, count in how.most_common()) + ".\n"
    return text


def cell(counts, column):
    if column != "rate":
        return str(counts[column])
    found = sum(counts[phase] for phase in FOUND)
    return f"{100 * found / max(1, found + counts['breaks'] + counts['unargued']):.1f} %"


def survivor_tables(survivors):
    unargued = [(described, kind) for described, kind, reason in survivors if reason is None]
    text = "\n## Not argued yet\n\n" if unargued else ""
    for described, kind in unargued:
        text += f"- {described}\n" if kind == "survived" else f"- {described} ({kind})\n"
    for verdict, title in [("breaks", "Mutants that break the standard"), ("conforming", "Conforming mutants")]:
        groups = collections.defaultdict(list)
        for key, kind, reason in survivors:
            if reason and reason["verdict"] == verdict:
                groups[reason["breaks"], reason["why"]].append((key, kind))
        text += f"\n## {title}\n"
        for (breaks, why), of_group in groups.items():
            text += f"\n{breaks + ': ' if breaks else ''}{why}\n\n"
            for key, kind in of_group:
                text += f"- {key}\n" if kind == "survived" else f"- {key} ({kind})\n"
    return text
