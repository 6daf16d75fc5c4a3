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
labels=$build/bench-labels

[ -d "$data" ] || {
	echo "skipped: no labelled logs at GUARD_DATA ($data)"
	exit 77
}
[ -x "$score" ] || {
	echo "bench: no $score" >&2
	exit 2
}

# Failures written for tests, a log each: they teach words of which there are few logs.
rm -rf "$labels/written"
mkdir -p "$labels/written"
awk -v to="$labels/written" '
	/^#/ { next }
	FILENAME ~ /lines.txt$/ || /^== / { close(log_of); log_of = sprintf("%s/%05d.log", to, ++n) }
	!/^== / { print > log_of }
' "$source/tests/unit/failures.txt" "$source/tests/bench/detector/lines.txt"
if [ "${1:-}" = --train ]; then
	"$score" --labels "$labels" "$data" || exit
	exec "$guard" train --rules "$source/conf/rules" --text "$labels/labels.csv" \
		--out "${2:?no file}" "$labels/written"
fi

seed=0 before=
for option in "$@"; do
	[ "$before" != --seed ] || seed=$option
	before=$option
done
"$score" --labels "$labels" --tuned --seed "$seed" "$data" || exit
"$guard" train --text "$labels/labels.csv" --out "$build/tuned.model" "$labels/written" >"$build/tuned.report" || exit
echo "== rules alone"
"$score" "$@" "$data" || exit
printf '\n== rules and a text model that learned from the part "tuned on"\n'
exec "$score" --model "$build/tuned.model" "$@" "$data"
