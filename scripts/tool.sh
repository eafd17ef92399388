#!/usr/bin/env bash
# Prints the path of a pinned developer tool, building it first when this machine has none of that version.
#
#   scripts/tool.sh NAME      NAME is a folder below tools/, each a Go module that pins one tool
#
# Tools live outside the clone, under a digest of what they are built from, so that every clone shares them and
# a changed version never meets an old binary. Two callers at once are safe: one builds, the other waits.
set -euo pipefail

name=${1:?usage: scripts/tool.sh NAME}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=$root/tools/$name
[ -f "$module/go.mod" ] || { echo "tool.sh: no such tool: $name (see tools/)" >&2; exit 2; }

ldflags='-s -w'
if [ "$name" = tofu ]; then
	ldflags+=' -X github.com/opentofu/opentofu/version.dev=no' # a release, not a development build
fi

cd "$module"
digest=$({ cat go.mod go.sum; echo "$ldflags"; go env GOVERSION GOOS GOARCH; } | git hash-object --stdin)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/terraform-provider-pim/tools/$name-${digest:0:16}
bin=$dir/$name

if [ ! -x "$bin" ]; then
	mkdir -p "$dir"
	exec 9>"$dir/lock"
	if command -v flock >/dev/null; then # macOS has none; there two builds at once only waste time
		flock -n 9 || { echo "tool.sh: waiting for another build of $name" >&2; flock 9; }
	fi
fi
if [ ! -x "$bin" ]; then
	version=$(go list -f '{{with .Module}}{{.Version}}{{end}}' tool)
	echo "tool.sh: building $name $version (once; minutes for a large one)" >&2
	tmp=$(mktemp -d "$dir/build.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	GOFLAGS='' CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$tmp/" tool
	if [ "$name" = tofu ]; then
		said=$(TF_CLI_CONFIG_FILE=/dev/null "$tmp/tofu" version)
		[ "${said%%$'\n'*}" = "OpenTofu $version" ] ||
			{ echo "tool.sh: the tofu just built says it is '$said', not $version" >&2; exit 1; }
	fi
	mv "$tmp/$name" "$bin"
fi
echo "$bin"
