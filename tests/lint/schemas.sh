#!/bin/sh
# The schemas of finding and outcome say what the program writes: the same fields, the same
# words.
# Usage: schemas.sh SOURCE_DIR PIPELINE_GUARD
cd "$1" || exit 2
if ! command -v python3 >/dev/null; then
	echo "SKIPPED: no python3 here" >&2
	exit 77
fi
log='Error: read ECONNRESET
--- FAIL: TestPay (0.00s)'
found=$(printf '%s\n' "$log" | "$2" detect --json -) || exit 1
# shellcheck disable=SC2016 # Python, not shell
FOUND=$found python3 -c '
import glob, json, os, re, sys

status = 0


def same(what, ours, theirs):
    global status
    if set(ours) != set(theirs):
        print(what, "differ:", sorted(set(ours) ^ set(theirs)), file=sys.stderr)
        status = 1


def read(name):
    with open(name, encoding="utf-8") as f:
        return f.read()


def table(name, begin, end):
    return re.search(re.escape(begin) + "(.*?)" + end, read(name), re.S).group(1)


finding = json.loads(read("schemas/finding.schema.json"))
outcome = json.loads(read("schemas/outcome.schema.json"))
shown = json.loads(os.environ["FOUND"])
same("fields of a finding", finding["required"], set(shown) - {"file", "job", "test_framework", "category_title", "link"})
same("fields of a line", finding["properties"]["evidence"]["items"]["required"], shown["evidence"][0])
if not re.fullmatch(finding["properties"]["fingerprint"]["pattern"], shown["fingerprint"]):
    same("fingerprints", [shown["fingerprint"]], [])

pairs = re.findall(r"\"?(\w+)\"?", table("dispatcher/work.c", ".outcome_pairs = {", "}").replace("->", "_"))
same("fields of an outcome", outcome["required"], pairs[::2])

words = re.findall(r"\"(\w+)\"", table("core/finding.c", "finding_categories[] = {", "NULL"))
for place in (finding["properties"]["category"],
              finding["properties"]["alternatives"]["items"]["properties"]["category"],
              outcome["properties"]["category"]):
    same("categories", place["enum"], words)

known = re.findall(r"^\| `(\w+)` \|", table("docs/streams.md", "| result | meaning |", "\n\n"), re.M)
said = set()
for name in ("stage_act", "stage_await", "work"):
    said |= set(re.findall(r"(?:finish|task_outcome|judged)\(t, \"(\w+)\"", read(f"dispatcher/{name}.c")))
for name in glob.glob("healers/*.[ch]"):
    said |= set(re.findall(r"\.done_as = \(?\"(\w+)\"", read(name)))
same("results in docs/streams.md", outcome["properties"]["result"]["enum"], known)
same("results in the code", outcome["properties"]["result"]["enum"], said)
sys.exit(status)
'
