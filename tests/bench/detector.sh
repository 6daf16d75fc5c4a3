#!/bin/sh
# How often the detector is right, and how fast. Usage:
#   detector.sh BUILD_DIR [score's options]   with the rules alone, then with a text model too
#   detector.sh BUILD_DIR --train FILE        learns the text model that is shipped
# GUARD_DATA is where the labelled logs are; without them there is nothing to measure. The model
# that is measured learns from the part of the logs that rules are tuned on; the one that is
# shipped learns from all.
set -u

build=$(cd "${1:?usage: detector.sh BUILD_DIR}" && pwd) || exit 2
shift
source=$(cd "$(dirname "$0")/../.." && pwd)
data=${GUARD_DATA:-$source/../shared/data}
score=$build/tests/bench/detector/detector_score
guard=$build/cli/pipeline-guard
work=$build/bench-detector
labels=$build/bench-labels

[ -d "$data" ] || {
	echo "skipped: no labelled logs at GUARD_DATA ($data)"
	exit 77
}
[ -x "$score" ] || {
	echo "bench: no $score" >&2
	exit 2
}

# The scorer reads plain files: one set is published compressed.
mkdir -p "$work" "$labels"
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

if [ "${1:-}" = --train ]; then
	"$score" --labels "$labels" "$work" || exit
	exec "$guard" train --rules "$source/conf/rules" --text "$labels/labels.csv" --out "${2:?no file}"
fi

seed=0 before=
for option in "$@"; do
	[ "$before" != --seed ] || seed=$option
	before=$option
done
"$score" --labels "$labels" --tuned --seed "$seed" "$work" || exit
"$guard" train --text "$labels/labels.csv" --out "$build/tuned.model" >"$build/tuned.report" || exit
echo "== rules alone"
"$score" "$@" "$work" || exit
printf '\n== rules and a text model that learned from the part "tuned on"\n'
exec "$score" --model "$build/tuned.model" "$@" "$work"
