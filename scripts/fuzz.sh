#!/usr/bin/env bash
# Runs every fuzz target of the repository for a while, one after the other.
#
#   scripts/fuzz.sh DURATION      for example 20s
set -euo pipefail

duration=${1:?usage: scripts/fuzz.sh DURATION}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# "go test -list" prints a package's targets and then its "ok  PACKAGE" line.
listing=$(go test -list '^Fuzz' ./...)
targets=$(awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }' <<<"$listing")
[ -n "$targets" ] || { echo "no fuzz target found" >&2; exit 1; }

while read -r package target; do
	echo "== $target ($package), $duration"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$package" </dev/null
done <<<"$targets"
