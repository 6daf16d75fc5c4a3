#!/usr/bin/env bash
# CPU per accepted webhook, against what a user would run instead. Usage: receiver.sh BUILD_DIR
exec "$(dirname "$0")/receiver/run.sh" "$@"
