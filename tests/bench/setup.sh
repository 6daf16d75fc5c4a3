# shellcheck shell=bash
# What the benchmarks that start real servers share. Sourced.
#
# Every server is started as `command & started`; all of them are ended on exit.

# need TOOL... : else the benchmark is skipped
need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || {
			echo "bench: $tool is needed" >&2
			exit 77
		}
	done
}

# need_built PROGRAM...
need_built() {
	local program
	for program in "$@"; do
		[ -x "$program" ] || {
			echo "bench: no $program" >&2
			exit 2
		}
	done
}

pids=()
started() {
	pids+=("$!")
}
stop() {
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	pids=()
}
trap stop EXIT

# wait_for PATTERN FILE: until a log has it, 20 s at most
wait_for() {
	local _
	for _ in $(seq 400); do
		grep -qm1 "$1" "$2" 2>/dev/null && return
		sleep 0.05
	done
	echo "bench: \"$1\" did not come:" >&2
	tail -n 5 "$2" >&2
	exit 2
}

# wait_for_url LOG: prints where a server that wrote "ready http://..." listens
wait_for_url() {
	wait_for 'ready http' "$1"
	grep -om1 'ready http://[0-9.:]*' "$1" | cut -d' ' -f2
}

# start_redis FOLDER [OPTION...]: a private one at FOLDER/redis.sock, in memory unless options say other
start_redis() {
	local folder=$1
	shift
	redis-server --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --save '' --appendonly no \
		"$@" >"$folder/redis.log" 2>&1 &
	started
	wait_for 'ready to accept' "$folder/redis.log"
}

# sign_body RECEIVER_DIR: a webhook and its signature in BENCH_WORK, for its load.lua
sign_body() {
	mkdir -p "$BENCH_WORK"
	"$1/make_body.sh" >"$BENCH_WORK/body.json"
	printf 'sha256=%s' "$(openssl dgst -sha256 -hmac "$BENCH_SECRET" -r "$BENCH_WORK/body.json" |
		cut -d' ' -f1)" >"$BENCH_WORK/signature"
}

conditions() {
	echo "load average $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors"
}
