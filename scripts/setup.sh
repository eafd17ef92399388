#!/usr/bin/env bash
# Installs the system packages this repository's targets need, only those that are missing, and checks Go.
#
#   scripts/setup.sh demo     what a build of an image needs
#   scripts/setup.sh matrix   that, and QEMU and firmware for both architectures
#   scripts/setup.sh test     what a build needs, and what the linters and tests need
#
# Says nothing and touches nothing when all is there. Debian and Ubuntu as root or through sudo, macOS through brew.
set -euo pipefail

group=${1:?usage: scripts/setup.sh demo|matrix|test}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

# What is needed, one per line: the Debian package, Homebrew's formula (- for none), and what shows that it is
# there: a program on PATH or a file. QEMU's package brings SeaBIOS and the network cards' boot ROMs along.
needs() {
	cat <<-'LIST'
		ca-certificates  -        /etc/ssl/certs/ca-certificates.crt
		git              git      git
		qemu-system-x86  qemu     qemu-system-x86_64
		qemu-utils       qemu     qemu-img
		ovmf             qemu     /usr/share/OVMF/OVMF_CODE_4M.fd
		xorriso          xorriso  xorriso
		cpio             -        cpio
		xz-utils         xz       xz
		openssh-client   -        ssh
		procps           -        pgrep
	LIST
	case $group/$(uname -m) in matrix/* | */aarch64 | */arm64)
		echo qemu-system-arm qemu qemu-system-aarch64
		echo qemu-efi-aarch64 qemu /usr/share/AAVMF/AAVMF_CODE.fd
		;;
	esac
	[ "$group" != test ] || cat <<-'LIST'
		curl             curl        curl
		gcc              -           gcc
		libc6-dev        -           /usr/include/stdlib.h
		shellcheck       shellcheck  shellcheck
		iproute2         -           ip
		swtpm            swtpm       swtpm
	LIST
	# Installing a server starts it. A person decides that; without it the tests that need a real sshd skip.
	[ -z "${CI:-}" ] || echo openssh-server - sshd
}

# has says whether the program or file $1 is there. Firmware on other systems comes with QEMU itself.
has() {
	case $1 in
	/*) [ -e "$1" ] || [ "$(uname)" != Linux ] ;;
	*) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
	esac
}

# missing prints the packages that are not there, as column $1 of needs names them.
missing() {
	local debian brew proof
	while read -r debian brew proof; do
		has "$proof" && continue
		if [ "$1" = brew ]; then echo "$brew"; else echo "$debian"; fi
	done < <(needs) | { grep -vx -e - || true; } | sort -u
}

# apt_install installs packages; the package lists are fetched only when installing does not work without.
apt_install() {
	local sudo=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "run this as root, or install: $*"
		sudo=(sudo)
	fi
	local apt=(${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
	local install=("${apt[@]}" install -y --no-install-recommends -o Dpkg::Use-Pty=0)
	say "installing with apt-get: $*"
	"${install[@]}" "$@" >/dev/null 2>&1 && return
	say "fetching the package lists first"
	"${apt[@]}" update >&2
	"${install[@]}" "$@" >&2
}

install_packages() {
	local packages
	if command -v apt-get >/dev/null; then
		mapfile -t packages < <(missing debian)
		[ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"
	elif command -v brew >/dev/null; then
		# Word splitting is wanted: macOS's bash has no mapfile.
		# shellcheck disable=SC2046
		[ -z "$(missing brew)" ] || brew install $(missing brew)
	elif [ -n "$(missing debian)" ]; then
		say "neither apt-get nor brew here. Please see that you have what these Debian packages hold: $(missing debian | tr '\n' ' ')"
	fi
}

# go_minor prints the 24 of "go1.24.3", or of Debian's "2:1.24~2".
go_minor() { sed -n 's/^[^.]*1\.\([0-9]*\).*/\1/p' <<<"$1"; }

# check_go makes sure there is a Go that is new enough, or one that can fetch the Go which go.mod asks for: since
# 1.21 the go command does that by itself, through the module proxy.
check_go() {
	local wanted have
	wanted=$(sed -n 's/^go //p' "$root/go.mod")
	if ! command -v go >/dev/null && command -v apt-get >/dev/null; then
		have=$(go_minor "$(apt-cache policy golang-go 2>/dev/null | sed -n 's/ *Candidate: //p')")
		if [ -n "$have" ] && [ "$have" -ge 21 ]; then apt_install golang-go; fi
	fi
	command -v go >/dev/null ||
		die "there is no go on PATH. Please install Go $wanted (any from 1.21 on fetches it by itself): go.dev/doc/install"
	have=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
	[ "$(go_minor "$have")" -ge 21 ] ||
		die "$(command -v go) is $have. Please install Go $wanted (any from 1.21 on fetches it by itself): go.dev/doc/install"
	(cd "$root" && GOTOOLCHAIN=${GOTOOLCHAIN:-auto} go version >/dev/null) ||
		die "$have cannot fetch Go $wanted, which go.mod asks for. Please install it: go.dev/doc/install"
}

install_packages
check_go
