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

for tool in redis-server redis-cli wrk openssl; do
	command -v "$tool" >/dev/null || {
		echo "bench: $tool is needed" >&2
		exit 77
	}
done
rm -rf "$BENCH_WORK"
mkdir -p "$BENCH_WORK"
"$here/receiver/make_body.sh" >"$BENCH_WORK/body.json"
printf 'sha256=%s' "$(openssl dgst -sha256 -hmac "$BENCH_SECRET" -r "$BENCH_WORK/body.json" | cut -d' ' -f1)" \
	>"$BENCH_WORK/signature"

start_redis() {
	redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no --dir "$BENCH_WORK" \
		>>"$BENCH_WORK/redis.log" 2>&1 &
	redis=$!
	for _ in $(seq 50); do
		redis-cli -s "$socket" ping >/dev/null 2>&1 && return
		sleep 0.1
	done
}
redis='' server=''
stop() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	[ -z "$redis" ] || kill "$redis" 2>/dev/null
}
trap stop EXIT

start_redis
env PIPELINE_GUARD_REDIS_URL="unix://$socket" PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET="$BENCH_SECRET" \
	PIPELINE_GUARD_DATA_DIR="$BENCH_WORK/data" \
	"$build/cli/pipeline-guard" receiver --listen 127.0.0.1:0 --admin-listen none \
	>"$BENCH_WORK/log" 2>&1 &
server=$!
for _ in $(seq 100); do
	url=$(grep -om1 'ready http://[0-9.:]*' "$BENCH_WORK/log")
	[ -z "$url" ] || break
	sleep 0.1
done
[ -n "$url" ] || {
	tail -n 5 "$BENCH_WORK/log" >&2
	exit 2
}
kill -9 "$redis"
wait "$redis" 2>/dev/null
redis=
out=$(wrk -t1 -c"$conns" -d"${secs}s" --latency -s "$here/receiver/load.lua" "${url#ready }/webhooks/github")
n=$(awk '/requests in/ { print $1 }' <<<"$out")
bad=$(awk '/Non-2xx/ { print $NF }' <<<"$out")
began=$(date +%s%N)
start_redis
while [ "$(redis-cli -s "$socket" xlen 'pg:{local:0}:events')" -lt "$n" ]; do
	[ $((($(date +%s%N) - began) / 1000000000)) -lt 60 ] || break
	sleep 0.05
done
ms=$((($(date +%s%N) - began) / 1000000))
printf 'Redis away: %s events taken in %s s (%s not), p99 %s; drained %s of them within %s ms\n' "$n" "$secs" \
	"${bad:-0}" "$(awk '/99%/ { print $2 }' <<<"$out")" \
	"$(redis-cli -s "$socket" xlen 'pg:{local:0}:events')" "$ms"
