#!/usr/bin/env bash
# Runs everything that must pass before a change lands, and says at the end how each part went.
#
# The end-to-end test is one emulated core busy for most of an hour, so it goes first, in the background; the other
# parts run meanwhile, at a lower priority. Their order is by how soon they fail. All parts run even when one fails.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=.tools/log
mkdir -p "$logs"
e2e=0 # process id (and group) of the end-to-end test
tail=0
failed=()

elapsed() { printf '%2d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
say() { printf '\n== %s  %s\n' "$(elapsed)" "$*"; }

# stop ends what still runs when this script is interrupted. SIGINT, so that the builds clean up after themselves.
stop() {
	if [ "$tail" != 0 ]; then kill "$tail" 2>/dev/null || true; fi
	if [ "$e2e" != 0 ] && kill -INT -- "-$e2e" 2>/dev/null; then
		echo "ending the end-to-end test" >&2
		wait "$e2e" || true
	fi
}
trap stop EXIT
trap 'exit 130' INT TERM

# start_e2e gives the test a process group of its own: a background job of a script would ignore SIGINT.
start_e2e() {
	set -m
	scripts/gotest.sh e2e >"$logs/e2e.log" 2>&1 </dev/null &
	e2e=$!
	set +m
}

# part runs a part ($2…) called $1, and notes whether it failed.
part() {
	local name=$1 begin=$SECONDS
	shift
	say "$name"
	if nice "$@" </dev/null 2>&1 | tee "$logs/$name.log"; then
		echo "-- $name ok, $((SECONDS - begin)) s"
	else
		failed+=("$name")
		echo "-- $name FAILED, $((SECONDS - begin)) s"
	fi
	echo "-- e2e so far: $(tail -n 1 "$logs/e2e.log")"
}

# finish_e2e shows what the test said so far, then follows it to its end.
finish_e2e() {
	say "e2e"
	tail -n +1 -f "$logs/e2e.log" &
	tail=$!
	local status=0
	wait "$e2e" || status=$?
	e2e=0
	# Let tail come to the end of the file: it looks once a second.
	sleep 2
	kill "$tail"
	wait "$tail" 2>/dev/null || true # its status only says that it was killed
	tail=0
	[ "$status" = 0 ] || failed+=(e2e)
}

say "tools (built once, then kept)"
scripts/setup.sh test
for tool in gotestsum tofu; do scripts/tool.sh "$tool" >/dev/null; done
start_e2e
say "started the end-to-end test: real installations, up to an hour without hardware acceleration; log: $logs/e2e.log"
part lint make --no-print-directory lint
part docs make --no-print-directory docs-check
part unit scripts/gotest.sh unit
part acc scripts/gotest.sh acc
finish_e2e

if [ ${#failed[@]} -gt 0 ]; then
	say "FAILED: ${failed[*]} (logs: $logs)"
else
	say "all passed"
fi
for name in unit acc e2e; do
	echo "$name:"
	grep '^DONE ' "$logs/$name.log" || echo "no test ran to its end"
done
[ ${#failed[@]} -eq 0 ]
