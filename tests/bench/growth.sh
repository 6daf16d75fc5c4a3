#!/usr/bin/env bash
# What a receiver costs after EVENTS events, against its beginning: CPU time per event in the last ten
# seconds against the first one (about 10,000 events), and RSS at the end against after 50,000, when it
# holds all that it may hold for sending again (receiver.resend_max).
#
# Usage: growth.sh BUILD_DIR      with EVENTS, CONNS in the environment
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: growth.sh BUILD_DIR}" && pwd)
events=${EVENTS:-1000000} conns=${CONNS:-64}
export BENCH_SECRET='a secret for benchmarks only'
export BENCH_WORK=$build/bench-growth
socket=$BENCH_WORK/redis.sock
stream='pg:{local:0}:events'

# shellcheck source=tests/bench/setup.sh
. "$here/setup.sh"
need redis-server redis-cli wrk openssl
rm -rf "$BENCH_WORK"
sign_body "$here/receiver"

start_redis "$BENCH_WORK"
# A short memory for deliveries keeps Redis small; to the receiver it makes no difference.
env PIPELINE_GUARD_REDIS_URL="unix://$socket" PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET="$BENCH_SECRET" \
	PIPELINE_GUARD_DATA_DIR="$BENCH_WORK/data" "$build/cli/pipeline-guard" receiver \
	--listen 127.0.0.1:0 --admin-listen none --set github.dedupe_ttl=1m \
	>"$BENCH_WORK/log" 2>&1 &
server=$!
started
url=$(wait_for_url "$BENCH_WORK/log") || exit

cpu_ns() { cut -d' ' -f1 "/proc/$server/schedstat"; }
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$server/status"; }

sent=0 us=0
send() { # send SECONDS: sets `us`, the CPU time of each event
	local before after out n bad
	before=$(cpu_ns)
	out=$(wrk -t1 -c"$conns" -d"$1s" -s "$here/receiver/load.lua" "$url/webhooks/github")
	after=$(cpu_ns)
	n=$(awk '/requests in/ { print $1 }' <<<"$out")
	bad=$(awk '/Non-2xx/ { print $NF }' <<<"$out")
	if [ "${bad:-0}" -ne 0 ] || [ "${n:-0}" -eq 0 ]; then
		echo "bench: ${bad:-0} of ${n:-0} answers were not 2xx" >&2
		exit 1
	fi
	redis-cli -s "$socket" xtrim "$stream" maxlen 1000 >/dev/null
	sent=$((sent + n))
	us=$(awk -v ns=$((after - before)) -v n="$n" 'BEGIN { printf "%.1f", ns / 1000 / n }')
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

conditions
send 1
first_n=$sent first_us=$us
while [ "$sent" -lt 50000 ]; do
	send 1
done
early_n=$sent early_kb=$(rss_kb)
printf '%8s events: cpu_us/event %s\n%8s events: rss_kb %s\n' "$first_n" "$first_us" "$early_n" "$early_kb"
while [ "$sent" -lt "$events" ]; do
	send 10
	printf '%8s events: cpu_us/event %s, rss_kb %s\n' "$sent" "$us" "$(rss_kb)"
done
printf 'the last 10 s against the first %s events: cpu %s; rss against after %s: %s\n' "$first_n" \
	"$(ratio "$us" "$first_us")" "$early_n" "$(ratio "$(rss_kb)" "$early_kb")"
