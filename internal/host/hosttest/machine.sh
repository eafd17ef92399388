#!/bin/sh
# A machine inside this one, as process 1 of namespaces of its own: network, files, processes, name. See StartMachine.
#
#   machine.sh SSHD ROOT SSH WORK SIZE SHARE…
#
# ROOT is where its file system is put together, SSH holds what its sshd needs, WORK becomes its work folder (or a file
# system of SIZE does, unless that is "-"), and each SHARE is there under the same name. It says its process number,
# then carries out one line of input after another, and says "done" and the line's exit status after each. It ends with
# its input, and takes everything in it along.
set -eu
sshd=$1 root=$2 ssh=$3 work=$4 size=$5
shift 5

read -r pid _ </proc/self/stat # /proc is still the one outside
echo "$pid"

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
for dir in bin sbin lib lib32 lib64 libx32; do
	if [ -L "/$dir" ]; then
		ln -s "$(readlink "/$dir")" "$dir"
	elif [ -d "/$dir" ]; then
		mkdir "$dir"
		mount --rbind "/$dir" "$dir"
	fi
done
mkdir usr etc dev proc sys root tmp run run/sshd run/pim var var/tmp srv srv/pim outside
chmod 1777 tmp var/tmp
for dir in usr etc dev; do mount --rbind "/$dir" "$dir"; done
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount --bind "$ssh" run/pim
if [ "$size" = - ]; then
	mount --bind "$work" srv/pim
else
	mount -t tmpfs -o "size=$size" tmpfs srv/pim
fi
for dir in "$@"; do
	mkdir -p "$root$dir"
	mount --bind "$dir" "$root$dir"
done
pivot_root . outside
umount -l /outside
rmdir /outside
hostname pim-machine
ip link set lo up

# serve returns once the server listens; a server that is there reads its keys and its configuration again.
serve() {
	rm -f /run/sshd.pid
	if [ -n "${server-}" ]; then
		kill -HUP "$server"
	else
		"$sshd" -D -f /run/pim/sshd_config -E /run/pim/log </dev/null >/dev/null 2>&1 &
		server=$!
	fi
	for _ in $(seq 600); do
		[ ! -s /run/sshd.pid ] || return 0
		sleep 0.05
	done
	return 1
}

while read -r line; do
	status=0
	eval "$line" || status=$?
	echo "done $status"
done
# Connections that nobody ends any more would keep the network, and with it the cable, for minutes.
ip link delete cable
