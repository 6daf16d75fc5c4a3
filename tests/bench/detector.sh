#!/bin/sh
# How often the detector is right, and how fast. Usage: detector.sh BUILD_DIR [score's options]
# GUARD_DATA is where the labelled logs are; without them there is nothing to measure.
set -u

build=$(cd "${1:?usage: detector.sh BUILD_DIR}" && pwd) || exit 2
shift
source=$(cd "$(dirname "$0")/../.." && pwd)
data=${GUARD_DATA:-$source/../shared/data}
score=$build/tests/bench/detector/detector_score
work=$build/bench-detector

[ -d "$data" ] || {
	echo "skipped: no labelled logs at GUARD_DATA ($data)"
	exit 77
}
[ -x "$score" ] || {
	echo "bench: no $score" >&2
	exit 2
}

# The scorer reads plain files: one set is published compressed.
mkdir -p "$work"
for set in "$data"/*; do
	[ -e "$work/${set##*/}" ] || ln -s "$set" "$work/${set##*/}"
done
if [ -d "$data/treeherder/logs" ] && [ -L "$work/treeherder" ]; then
	rm "$work/treeherder"
	mkdir -p "$work/treeherder/logs"
	cp "$data"/treeherder/logs/*.logview.json "$work/treeherder/logs/"
	for log in "$data"/treeherder/logs/*.gz; do
		name=${log##*/}
		gzip -dc "$log" >"$work/treeherder/logs/${name%%.*}.log"
	done
fi
exec "$score" "$@" "$work"
