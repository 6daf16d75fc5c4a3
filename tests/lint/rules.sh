#!/bin/sh
# The shipped rules are well: none is slow, repeats another or takes another's samples.
# Usage: rules.sh SOURCE_DIR PIPELINE_GUARD
set -eu

exec "$2" rules lint "$1/conf/rules"
