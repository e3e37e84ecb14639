#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Holds docs/branches.md against the programs: which case takes which branch, and what was counted on the way.

	make branches                     build what is measured, then run this
	scripts/branches.py               check
	scripts/branches.py --write       put fresh tables into docs/branches.md, then check

	BUILD=build         the instrumented test programs are in $BUILD/branches

Each case is run by itself. A branch that none takes must stand in the page's table of those, with the reason, and one
that stands there must not be taken. Every counter of the programs must have been counted by some case; and where the page
names one that counts it in the kernel, it must be there, in a file that names the counter.
"""
import json
import os
import re
import subprocess
import sys

PAGE = "docs/branches.md"
PROGRAMS = ("program_test", "placement_test")
SOURCES = ("bpf/", "include/steadyport/")
BUILD = os.environ.get("BUILD", "build") + "/branches"
BEGIN = "<!-- %s: made by scripts/branches.py --write -->"
END = "<!-- end of %s -->"

failed = False


def complain(text):
    global failed
    print(f"branches: {text}", file=sys.stderr)
    failed = True


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Source:
    """A file of the programs, to be quoted."""

    def __init__(self, path):
        self.lines = read(path).split("\n")

    def quote(self, first, first_column, last, last_column):
        lines = self.lines[first - 1 : last]
        lines[-1] = lines[-1][: last_column - 1]
        lines[0] = lines[0][first_column - 1 :]
        return " ".join(line.strip() for line in lines)

    def function_at(self, line):
        while not (name := re.match(r"(?:\w[\w \*]*[ \*])?(\w+)\(", self.lines[line - 1])) or name[1] == "SEC":
            line -= 1
        return name[1]


def cases_of(program):
    return re.findall(r"cmocka_unit_test\((\w+)\)", read(f"tests/unit/{program}.c"))


def branches_of(program, profile):
    """Of each branch, (path, place), how often its condition held and did not hold."""
    exported = json.loads(run("llvm-cov", "export", f"{BUILD}/{program}", f"-instr-profile={profile}"))
    counts = {}
    for file in exported["data"][0]["files"]:
        path = os.path.relpath(file["filename"])
        if not path.startswith(SOURCES):
            continue
        for *place, held, not_held, _, _, _ in file["branches"]:
            was = counts.get((path, tuple(place)), (0, 0))
            counts[path, tuple(place)] = was[0] + held, was[1] + not_held
    return counts


def measure():
    """What every case takes: {branch: ([cases in which it holds], [in which not])}, and {case: [what it counted]}."""
    branches, counted = {}, {}
    profile = f"{BUILD}/case.profile"
    for program in PROGRAMS:
        for case in cases_of(program):
            raw = f"{BUILD}/case.profraw"
            said = run(f"{BUILD}/{program}", case, env={**os.environ, "LLVM_PROFILE_FILE": raw})
            counted[case] = re.findall(r"^counted: (.*)$", said, re.MULTILINE)
            run("llvm-profdata", "merge", "-o", profile, raw)
            for branch, counts in branches_of(program, profile).items():
                takers = branches.setdefault(branch, ([], []))
                for taker, count in zip(takers, counts):
                    if count:
                        taker.append(case)
    return branches, counted


def cell(text):
    return "`" + text.replace("|", "\\|") + "`"


def branches_table(branches, sources):
    rows = ["| function | condition | holds in | does not hold in |", "|---|---|---|---|"]
    for (path, place), takers in sorted(branches.items()):
        first = [f"`{taker[0]}`" if taker else "never" for taker in takers]
        rows.append(f"| `{sources[path].function_at(place[0])}` | {cell(sources[path].quote(*place))} | "
                    f"{first[0]} | {first[1]} |")
    return "\n".join(rows)


def cases_table(counted):
    rows = ["| case | counts |", "|---|---|"]
    for case, expectations in counted.items():
        if expectations:
            rows.append(f"| `{case}` | {'; '.join(dict.fromkeys(expectations))} |")
    return "\n".join(rows)


def check_table(what, table):
    begin, end = BEGIN % what, END % what
    page = read(PAGE)
    if page.count(begin) != 1 or page.count(end) != 1:
        sys.exit(f"branches: {PAGE} does not have each of these lines once: {begin} {end}")
    before, rest = page.split(begin)
    written, after = rest.split(end)
    if written.strip() == table:
        return
    if "--write" not in sys.argv:
        complain(f"{PAGE}'s table of {what} is not as it should be (make branches-write makes it)")
        return
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(f"{before}{begin}\n{table}\n{end}{after}")


def rows_below(heading):
    """The cells of the table below a heading of the page."""
    _, _, section = read(PAGE).partition(f"\n## {heading}\n")
    section = section.split("\n## ")[0]
    rows = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)[2:]
    if not rows:
        sys.exit(f"branches: {PAGE} has no table below '{heading}'")
    return [[c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", row)] for row in rows]


def check_untaken(branches, sources):
    untaken = set()
    for (path, place), takers in branches.items():
        for taker, side in zip(takers, ("holds", "does not hold")):
            if not taker:
                untaken.add((sources[path].function_at(place[0]), sources[path].quote(*place), side))
    explained = {(row[0].strip("`"), row[1].strip("`"), row[2]) for row in rows_below("Never taken here")}
    for branch in sorted(untaken - explained):
        complain("no case takes: %s(): `%s` %s" % branch)
    for branch in sorted(explained - untaken):
        complain("taken, and explained as if it were not: %s(): `%s` %s" % branch)


def check_counters(counted):
    counters = re.findall(r"^SP_COUNTER\((\w+)", read("include/steadyport/counters.def"), re.MULTILINE)
    seen = set(re.findall(r"[a-z_]+", " ".join(text for texts in counted.values() for text in texts)))
    in_kernel = {row[0].strip("`"): row[1] for row in rows_below("In the kernel")}
    tests = [read(f"tests/{kind}/{name}") for kind in ("prog", "e2e") for name in os.listdir(f"tests/{kind}")
             if name.endswith("_test.c")]
    for counter in counters:
        if counter not in seen and counter != "settled":  # user space's
            complain(f"no case counts {counter}")
        cases = re.findall(r"\w+__\w+__\w+", in_kernel.get(counter, ""))
        if not cases and not in_kernel.get(counter, "").startswith("none: "):
            complain(f"{PAGE} does not say who counts {counter} in the kernel")
        for case in cases:
            if not any(re.search(rf"\b{case}\b", test) and re.search(rf"\b{counter}[\")]", test) for test in tests):
                complain(f"{case} is not there, or does not count {counter}")


def report(branches):
    total = [0, 0]
    files = {}
    for (path, _), takers in branches.items():
        file = files.setdefault(path, [0, 0])
        for numbers in (file, total):
            numbers[0] += 2
            numbers[1] += bool(takers[0]) + bool(takers[1])
    print("%-32s %8s %7s" % ("FILE", "BRANCHES", "TAKEN"))
    for path, numbers in sorted(files.items()):
        print("%-32s %8d %7d" % (path, *numbers))
    print("%-32s %8d %7d  %.1f%%, and why not the others is in %s" % ("TOTAL", *total, 100 * total[1] / total[0], PAGE))


def main():
    os.chdir(os.path.join(os.path.dirname(__file__), ".."))
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit(__doc__)
    branches, counted = measure()
    sources = {path: Source(path) for path, _ in branches}
    check_table("branches", branches_table(branches, sources))
    check_table("cases", cases_table(counted))
    check_untaken(branches, sources)
    check_counters(counted)
    report(branches)
    return failed


if __name__ == "__main__":
    sys.exit(main())
