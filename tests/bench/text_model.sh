#!/bin/sh
# The text model that is shipped is the one that the labelled logs give, byte for byte.
# Usage: text_model.sh BUILD_DIR. GUARD_DATA is where the logs are.
set -u

build=$(cd "${1:?usage: text_model.sh BUILD_DIR}" && pwd) || exit 2
source=$(cd "$(dirname "$0")/../.." && pwd)
shipped=$source/conf/models/text.model
fresh=$build/fresh.model

"$source/tests/bench/detector.sh" "$build" --train "$fresh" || exit
# What it learned from is named in the file: rules and logs, as they were then.
inputs() { od -An -v -tx1 -j20 -N32 "$1"; }
if [ "$(inputs "$fresh")" != "$(inputs "$shipped")" ]; then
	echo "SKIPPED: rules or logs are others than when it was trained; ./dev train trains it again"
	exit 77
fi
cmp "$fresh" "$shipped" || exit 1
echo "the same in every byte"
