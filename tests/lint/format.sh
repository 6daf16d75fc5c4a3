#!/bin/sh
# Every C and C++ file looks as .clang-format says. Another major version lays out some lines
# differently, so only the pinned one decides; with any other this test is skipped.
# Usage: format.sh SOURCE_DIR
pinned=14
cd "$1" || exit 2

if ! command -v clang-format >/dev/null; then
	echo "SKIPPED: no clang-format here" >&2
	exit 77
fi
major=$(clang-format --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
if [ "$major" != "$pinned" ]; then
	echo "SKIPPED: clang-format is pinned to $pinned, this is ${major:-unknown}" >&2
	exit 77
fi
find . \( -name build -o -name .git -o -name node_modules \) -prune -o \( -name '*.[ch]' -o -name '*.cpp' \) -print0 |
	xargs -0 clang-format --dry-run -Werror --style=file
