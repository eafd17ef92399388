# What the scripts of this folder have in common. They run with POSIX sh on the machine, Linux or macOS, and get all
# that they work on as arguments.

# born prints when process $1 began, in some form that another process with its number will not have; nothing when
# it has ended.
born() {
	if [ -r /proc/self/stat ]; then
		{ read -r _pim_stat <"/proc/$1/stat"; } 2>/dev/null || return 0
		# After the name, which may hold anything: the state is 1 and the start time 20 (proc(5): 3 and 22).
		# shellcheck disable=SC2086
		set -- ${_pim_stat##*) }
		case $1 in Z | X) ;; *) echo "${20}" ;; esac
		return 0
	fi
	case $(ps -o stat= -p "$1") in
	'' | Z*) ;;
	*) LC_ALL=C TZ=UTC ps -o lstart= -p "$1" | tr -s ' ' _ ;;
	esac
}

# A session's PATH is shorter than a person's: without the administrator's folders, and without Homebrew's.
PATH=${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/local/sbin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/homebrew/bin:/opt/homebrew/sbin
export PATH
