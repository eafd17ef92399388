#!/usr/bin/env bash
# The demo: a real Debian installation becomes an image, through `tofu apply`.
#
# The work is in examples/demo. It is copied to a folder outside the clone, which stays for you to look at:
# PIM_DEMO_DIR, by default below the user's cache folder. Running the demo again starts over.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/terraform-provider-pim
dir=${PIM_DEMO_DIR:-$cache/demo}
follower=0

bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s== %2d:%02d  %s%s\n' "$bold" $((SECONDS / 60)) $((SECONDS % 60)) "$*" "$plain"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# main prepares what the demo needs and runs the rest of it beside the package proxy the installer uses.
main() {
	say "what the demo needs on this machine"
	command -v apt-get >/dev/null ||
		die "the demo makes its installer ISO from Debian's packages, so it needs Debian or Ubuntu. Your own ISO works anywhere: see examples/"
	"$root/scripts/setup.sh" demo
	cd "$root"
	local cli
	cli=$(command -v tofu || command -v terraform || scripts/tool.sh tofu)
	mkdir -p "$cache/bin"
	go build -buildvcs=false -o "$cache/bin/terraform-provider-pim" .
	go build -buildvcs=false -o "$cache/bin/debtest" ./internal/debtest/cmd/debtest
	say "the Debian installer, from Debian's own packages"
	PIM_DEMO_STARTED=$SECONDS PIM_DEMO_CLI=$cli exec "$cache/bin/debtest" -dir "$cache/debtest" -- \
		"$root/scripts/demo.sh" body
}

# body is the demo itself; debtest runs it, with the installer's place in PIM_DEBTEST_*.
body() {
	SECONDS=${PIM_DEMO_STARTED:-0}
	trap kill_follower EXIT
	# The CLI gets a Ctrl-C too and ends the build cleanly; this script waits for it instead of ending first.
	trap 'echo "demo: ending, please wait" >&2' INT TERM
	workspace
	local cli
	cli=$(basename "$PIM_DEMO_CLI")
	say "\$ $cli apply    (an hour or less without hardware acceleration; progress below, Ctrl-C ends it cleanly)"
	follow_log
	tf apply -input=false -auto-approve
	kill_follower
	say "\$ $cli plan     (nothing changed, so there is nothing to do)"
	tf plan -input=false -detailed-exitcode || die "the second plan was expected to be empty"
	stale_plan
	say "done, in $((SECONDS / 60)) minutes"
	next
}

# workspace lays out a fresh copy of the example and points the CLI at the provider just built: with dev_overrides
# there is nothing to install, so no "init".
workspace() {
	mkdir -p "$dir"
	rm -rf "$dir/work"
	cp -R "$root/examples/demo" "$dir/work"
	cat >"$dir/cli.tfrc" <<-CONFIG
		provider_installation {
		  dev_overrides { "pim-tools/pim" = "$cache/bin" }
		  direct {}
		}
	CONFIG
	export TF_CLI_CONFIG_FILE=$dir/cli.tfrc TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
	export PIM_CONFIG_DIR=$dir/work/pim PIM_DATA_DIR=$dir/data PIM_CACHE_DIR=$dir/cache
	export PIM_HTTP_PROXY=$PIM_DEBTEST_PROXY
	export TF_VAR_boot_args=$PIM_DEBTEST_BOOT_ARGS
	mkdir -p "$PIM_CONFIG_DIR/isos.d"
	cat >"$PIM_CONFIG_DIR/isos.d/debian.yml" <<-ISO
		debian:
		  url: file://$PIM_DEBTEST_ISO
		  checksum: sha256:$PIM_DEBTEST_ISO_SHA256
		  architecture: x86_64
	ISO
	# A demo that was run before must not find its image: the first apply is to be watched.
	rm -rf "$PIM_DATA_DIR"
}

# tf runs the CLI in the workspace.
tf() { "$PIM_DEMO_CLI" -chdir="$dir/work" "$@"; }

# follow_log shows the build's log as it grows: a provider cannot print while the CLI waits for it.
follow_log() {
	mkdir -p "$PIM_DATA_DIR/builds"
	{
		until log=$(compgen -G "$PIM_DATA_DIR/builds/*/build.log"); do sleep 1; done
		exec tail -n +1 -F "$log"
	} &
	follower=$!
}

kill_follower() {
	if [ "$follower" != 0 ]; then
		kill "$follower" 2>/dev/null || true
		wait "$follower" 2>/dev/null || true
		follower=0
	fi
}

# stale_plan edits a script, shows that the plan names it, and puts it back.
stale_plan() {
	local script status=0
	script=$(find "$PIM_CONFIG_DIR/scripts.d" -name '*.sh' | sort | tail -n 1)
	say "a line is added to $(basename "$script"); \$ $(basename "$PIM_DEMO_CLI") plan    (names it as the reason the image is stale)"
	cp "$script" "$dir/script.saved"
	echo 'echo "edited by the demo"' >>"$script"
	tf plan -input=false -detailed-exitcode || status=$?
	mv "$dir/script.saved" "$script"
	[ "$status" = 2 ] || die "the plan was expected to show the image as stale (exit status 2, not $status)"
}

# next says where everything is and what a person does with it.
next() {
	local image accel disk=$dir/work/demo.qcow2
	image=$(compgen -G "$PIM_DATA_DIR/cache/images/*.qcow2") || die "there is no image below $PIM_DATA_DIR"
	accel=$(sed -n 's/^ *"accelerator": "\(.*\)",$/\1/p' "${image%.qcow2}.json")
	(cd "$(dirname "$disk")" && sha256sum --check --quiet "$(basename "$disk").sha256") || die "the deployed file is not what was deployed"
	cat <<-TEXT
		The image:     $image
		Its manifest:  ${image%.qcow2}.json
		The build log: $(compgen -G "$PIM_DATA_DIR/builds/*/build.log" | tail -n 1)
		Deployed to:   $disk (and .sha256)

		The provider has booted the image once on a throw-away overlay, and cloud-init reported no error. What next:

		  - Boot the deployed file, at a login prompt on this terminal (Ctrl-A X ends it; nothing is written to it):

		      qemu-system-x86_64 -accel $accel -machine q35 -m 1024 -nographic -snapshot \\
		        -drive file=$disk,if=virtio -nic user,model=virtio-net-pci

		  - Give a machine made from it a name and your key: cloud-init reads them from whatever runs it. examples/libvirt
		    does so for libvirt, examples/aws for AMIs, examples/proxmox for Proxmox VE, examples/utm for a Mac.
		  - Edit $PIM_CONFIG_DIR/scripts.d/motd.sh and apply again: only the scripts run anew, and the file follows.

		All of it is in $dir; the workspace is $dir/work.
	TEXT
}

case ${1:-} in
'') main ;;
body) body ;;
*) die "usage: scripts/demo.sh" ;;
esac
