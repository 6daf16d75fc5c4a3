#!/bin/sh
# How fast logs are read. Usage: scan.sh BUILD_DIR
# GUARD_DATA is where logs of passed and failed builds are; without them there is nothing to read.
set -u

build=$(cd "${1:?usage: scan.sh BUILD_DIR}" && pwd) || exit 2
source=$(cd "$(dirname "$0")/../.." && pwd)
data=${GUARD_DATA:-$source/../shared/data}
speed=$build/tests/bench/scan/scan_speed
work=$build/bench-scan
bytes=200000000

[ -d "$data/ci_logs_dev" ] || {
	echo "skipped: no logs at GUARD_DATA ($data)"
	exit 77
}
[ -x "$speed" ] || {
	echo "bench: no $speed" >&2
	exit 2
}

mkdir -p "$work"
cat "$data"/ci_logs_dev/failing/*.log "$data"/ci_logs_dev/passing/*.log \
	"$data"/travis_logs_dev/travis/* >"$work/once"
while cat "$work/once"; do :; done 2>/dev/null | head -c "$bytes" >"$work/log"

"$speed" "$work/log" "$source/conf/rules" || exit

# The same patterns in grep, as far as it can say them: no lookaround, no names, no \d.
sed -n "s/^ *-\{0,1\} *regex: '\(.*\)'$/\1/p" "$source"/conf/rules/*.yaml |
	sed "s/''/'/g" >"$work/all"
sed 's/\\d/[0-9]/g; s/\\D/[^0-9]/g; s/(?:/(/g' "$work/all" |
	grep -v -F -e '(?' -e '*+' -e '++' -e '\1' -e "[\\" >"$work/candidates"
: >"$work/patterns"
while IFS= read -r pattern; do
	echo | grep -E -e "$pattern" >/dev/null 2>&1
	[ $? -lt 2 ] && printf '%s\n' "$pattern" >>"$work/patterns"
done <"$work/candidates"
head -c 1000000 "$work/log" >"$work/piece"
echo "grep -E -c, $(wc -l <"$work/patterns") of $(wc -l <"$work/all") patterns, 1 MB, at most 120 s:"
(
	LC_ALL=C timeout 120 grep -a -E -c -f "$work/patterns" "$work/piece" || echo "not in time"
	times | tail -n 1
)
