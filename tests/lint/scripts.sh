#!/bin/sh
# Every shell script passes shellcheck.
# Usage: scripts.sh SOURCE_DIR
cd "$1" || exit 2
if ! command -v shellcheck >/dev/null; then
	echo "SKIPPED: no shellcheck here" >&2
	exit 77
fi
{
	printf '%s\0' dev .ci/run
	find . \( -name build -o -name .git -o -name node_modules \) -prune -o -name '*.sh' -print0
} | xargs -0 shellcheck
