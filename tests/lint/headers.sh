#!/bin/sh
# Each header compiles alone, twice in a row, and has the guard that its place gives it:
# GUARD_<top folder>_<file>_H, or with the folders between.
# Usage: headers.sh SOURCE_DIR BUILD_DIR COMPILER
cd "$1" || exit 2
build=$2 cc=$3
status=0
dirs='core web receiver healers ml dispatcher cli tests'

# Those of libraries; ours are named below, since the path to us may have spaces.
flags=$(grep -oE -- '-(I|isystem )/[^ "\\]+' "$build/compile_commands.json" | sort -u | tr '\n' ' ')
[ -s "$build/compile_commands.json" ] || {
	echo "no $build/compile_commands.json" >&2
	exit 2
}

# shellcheck disable=SC2086 # words on purpose: a list of folders
for header in $(find $dirs -name node_modules -prune -o -name '*.h' -print 2>/dev/null | sort); do
	long=GUARD_$(echo "${header%.h}" | tr 'a-z/.-' 'A-Z___')_H
	guard=GUARD_$(echo "${header%%/*}_$(basename "$header" .h)" | tr 'a-z.-' 'A-Z__')_H
	if ! grep -qxE "#ifndef ($guard|$long)" "$header"; then
		echo "$header: the include guard is not $guard" >&2
		status=1
	fi
	# shellcheck disable=SC2086 # words on purpose: a list of options
	if ! printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
		"$cc" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-function \
			-fsyntax-only -I . -I "$build/generated" $flags -x c -; then
		echo "$header: does not compile alone" >&2
		status=1
	fi
done
exit $status
