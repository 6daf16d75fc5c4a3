#!/usr/bin/env bash
# CPU microseconds per accepted webhook: ours, and the peers that are installed.
#
# Everybody does the same on this machine in one run: take a signed webhook of 17 KB, verify it, put
# an event into a Redis stream, and answer 2xx when Redis has it. Counted is user and system time
# of all processes in the server's session; Redis and the load generator are not. Requests per second
# on a small shared machine are noise around that figure.
# Then ours with two workers, and the time to an answer at half the rate that one worker sustained.
#
# Usage: run.sh BUILD_DIR      with ROUNDS, SECS, CONNS in the environment
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: run.sh BUILD_DIR}" && pwd)
guard=$build/cli/pipeline-guard
rounds=${ROUNDS:-2} secs=${SECS:-4} conns=${CONNS:-64}
export BENCH_SECRET='a secret for benchmarks only'
export BENCH_WORK=$build/bench-receiver
export BENCH_REDIS=$BENCH_WORK/redis.sock

# shellcheck source=tests/bench/setup.sh
. "$here/../setup.sh"
need redis-server redis-cli wrk openssl curl
need_built "$guard"
sign_body "$here"
conditions
echo "body: $(wc -c <"$BENCH_WORK/body.json") bytes, $conns connections, $rounds rounds of $secs s"

start_redis "$BENCH_WORK"
server= # and all else in its session
trap '[ -z "$server" ] || kill -TERM -- "-$server" 2>/dev/null; stop' EXIT

# ticks SESSION: user and system time of its processes. Names may have spaces: cut them off first.
ticks() {
	cat /proc/[0-9]*/stat 2>/dev/null |
		awk -v s="$1" '{ sub(/^.*\) /, ""); if ($4 == s) t += $12 + $13 } END { print t + 0 }'
}

measure() { # measure NAME COMMAND...
	local name=$1 log=$BENCH_WORK/$1.log url before after out n bad us per_s
	shift
	redis-cli -s "$BENCH_REDIS" flushall >/dev/null
	setsid "$@" >"$log" 2>&1 &
	server=$!
	url=$(wait_for_url "$log") || return
	curl -s -o /dev/null --retry 20 --retry-connrefused --retry-delay 1 "$url/webhooks/github"
	before=$(ticks "$server")
	out=$(wrk -t1 -c"$conns" -d"${secs}s" --latency -s "$here/load.lua" "$url/webhooks/github")
	after=$(ticks "$server")
	kill -TERM -- "-$server" 2>/dev/null
	wait "$server" 2>/dev/null
	server=
	n=$(awk '/requests in/ { print $1 }' <<<"$out")
	bad=$(awk '/Non-2xx/ { print $NF }' <<<"$out")
	if [ "${bad:-0}" -ne 0 ] || [ "${n:-0}" -eq 0 ]; then
		echo "$name: ${bad:-0} of ${n:-0} answers were not 2xx, not counted" >&2
		return
	fi
	us=$(awk -v t="$((after - before))" -v hz="$(getconf CLK_TCK)" -v n="$n" \
		'BEGIN { printf "%.1f", t * 1e6 / hz / n }')
	per_s=$(awk '/Requests\/sec/ { print $2 }' <<<"$out")
	printf '%-14s cpu_us/event %6s   events/s %8s   p50 %8s   p99 %8s\n' "$name" "$us" "$per_s" \
		"$(awk '$1 == "50%" { print $2 }' <<<"$out")" "$(awk '$1 == "99%" { print $2 }' <<<"$out")"
	echo "$name $us $per_s" >>"$BENCH_WORK/results"
}

receiver() { # receiver NAME [ARGUMENTS]
	local name=$1
	shift
	measure "$name" env PIPELINE_GUARD_REDIS_URL="unix://$BENCH_REDIS" \
		PIPELINE_GUARD_GITHUB_WEBHOOK_SECRET="$BENCH_SECRET" \
		PIPELINE_GUARD_DATA_DIR="$BENCH_WORK/data" \
		"$guard" receiver --listen 127.0.0.1:0 --admin-listen none "$@"
}

# Each connection pauses so long on average that together they ask half as often as `ours` answered.
at_half() {
	BENCH_PAUSE_MS=$(awk -v conns="$conns" '$1 == "ours" { sum += $3; n++ }
		END { printf "%d", conns * 1000 * 2 * n / sum }' "$BENCH_WORK/results")
	export BENCH_PAUSE_MS
	receiver ours-half
	unset BENCH_PAUSE_MS
}

nginx_lua() {
	local port=${BENCH_PORT:-18292} modules='' name dir=/usr/lib/nginx/modules
	for name in ndk_http_module ngx_http_lua_module; do
		[ -f "$dir/$name.so" ] || return
		modules+="load_module $dir/$name.so; "
	done
	command -v nginx >/dev/null || return
	sed "s|@SOCKET@|$BENCH_REDIS|" "$here/nginx_webhook.lua" >"$BENCH_WORK/nginx_webhook.lua"
	cp "$here/nginx_init.lua" "$BENCH_WORK/"
	sed -e "s|@WORK@|$BENCH_WORK|g" -e "s|@HERE@|$BENCH_WORK|g" -e "s|@PORT@|$port|" \
		-e "s|@MODULES@|$modules|" "$here/nginx.conf.in" >"$BENCH_WORK/nginx.conf"
	[ "$(id -u)" -ne 0 ] || sed -i '1i user root;' "$BENCH_WORK/nginx.conf"
	measure nginx-lua sh -c "echo ready http://127.0.0.1:$port; exec nginx -p '$BENCH_WORK' -c nginx.conf"
}

node_octokit() {
	command -v node >/dev/null && [ -d "$BENCH_WORK/node_modules" ] || return
	measure node-octokit node "$here/node_octokit.mjs"
}

# Versions are pinned so that two runs compare the same thing; never into the source tree.
if command -v npm >/dev/null && [ ! -d "$BENCH_WORK/node_modules" ]; then
	(cd "$BENCH_WORK" && echo '{ "private": true }' >package.json &&
		npm install --silent --no-audit --no-fund @octokit/webhooks@14.2.0 ioredis@5.4.1) >/dev/null 2>&1 ||
		echo "bench: npm install did not work, no node-octokit" >&2
fi

: >"$BENCH_WORK/results"
for _ in $(seq "$rounds"); do
	receiver ours
	nginx_lua
	node_octokit
	receiver ours-2-workers --workers 2
done
at_half
awk '{ sum[$1] += $2; n[$1]++ }
	END {
		if (!n["ours"])
			exit 1
		for (peer in n)
			if (peer !~ /^ours/)
				printf "ours / %s: %.2f\n", peer, sum["ours"] / n["ours"] / (sum[peer] / n[peer])
	}' "$BENCH_WORK/results"
