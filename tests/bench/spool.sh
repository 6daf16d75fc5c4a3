#!/usr/bin/env bash
# What the receiver takes while Redis is stopped: every event is on disk before it is answered.
# Usage: spool.sh BUILD_DIR      with SECS, CONNS in the environment
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: spool.sh BUILD_DIR}" && pwd)
secs=${SECS:-4} conns=${CONNS:-64}
export BENCH_SECRET='a secret for benchmarks only'
export BENCH_WORK=$build/bench-spool
socket=$BENCH_WORK/redis.sock

# shellcheck source=tests/bench/setup.sh
. "$here/setup.sh"
need redis-server redis-cli wrk openssl
rm -rf "$BENCH_WORK"
sign_body "$here/receiver"

start_redis "$BENCH_WORK"
redis=$!
env PIPELINE_GUARD_REDIS_URL="unix://$socket" PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET="$BENCH_SECRET" \
	PIPELINE_GUARD_DATA_DIR="$BENCH_WORK/data" \
	"$build/cli/pipeline-guard" receiver --listen 127.0.0.1:0 --admin-listen none \
	>"$BENCH_WORK/log" 2>&1 &
started
url=$(wait_for_url "$BENCH_WORK/log") || exit
kill -9 "$redis"
wait "$redis" 2>/dev/null
out=$(wrk -t1 -c"$conns" -d"${secs}s" --latency -s "$here/receiver/load.lua" "$url/webhooks/github")
n=$(awk '/requests in/ { print $1 }' <<<"$out")
bad=$(awk '/Non-2xx/ { print $NF }' <<<"$out")
began=$(date +%s%N)
start_redis "$BENCH_WORK"
while [ "$(redis-cli -s "$socket" xlen 'pg:{local:0}:events')" -lt "$n" ]; do
	[ $((($(date +%s%N) - began) / 1000000000)) -lt 60 ] || break
	sleep 0.05
done
ms=$((($(date +%s%N) - began) / 1000000))
printf 'Redis away: %s events taken in %s s (%s not), p99 %s; drained %s of them within %s ms\n' "$n" "$secs" \
	"${bad:-0}" "$(awk '/99%/ { print $2 }' <<<"$out")" \
	"$(redis-cli -s "$socket" xlen 'pg:{local:0}:events')" "$ms"
