# Holds the lock file $1 until it is killed or has not had a SIGUSR1 for $2 seconds. Says when it has to wait, and
# when it has the lock. $3 does the same in Perl, for systems without flock(1) or without /proc: Homebrew has a flock.
_pim_file=$1 _pim_left=$(($2 * 5)) _pim_grace=$2
{ [ -e /proc/self/fd ] && command -v flock >/dev/null; } || exec perl -e "$3" "$1" "$2"
trap '_pim_left=$((_pim_grace * 5))' USR1
umask 077
while :; do
	exec 9>>"$_pim_file" || exit
	until flock -n 9; do
		_pim_status=$?
		[ $_pim_status -eq 1 ] || exit $_pim_status # anything but that somebody has it
		[ -n "${_pim_said-}" ] || echo waiting
		_pim_said=yes
		sleep 0.2 9>&-
		_pim_left=$((_pim_left - 1))
		[ $_pim_left -gt 0 ] || exit 1
	done
	# shellcheck disable=SC3013 # dash, bash, busybox and zsh have -ef
	# Not if somebody removed the file meanwhile: nobody else will ever look at this one.
	[ "$_pim_file" -ef /proc/self/fd/9 ] && break
done
echo locked
while [ $_pim_left -gt 0 ]; do
	_pim_left=$((_pim_left - 5)) # first, so that a signal during the sleep counts in full
	sleep 1 9>&-
done
