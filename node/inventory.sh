# Inventory: what a host is and has, by POSIX sh, coreutils and what systemd brings. It only reads. The first contact calls
# this function with the paths that are of interest, and has say and nearest.
inventory() {
	[ ! -r /etc/os-release ] || while read -r line; do
		case $line in ID=* | VERSION_ID=* | PRETTY_NAME=*) say os-release "$line" ;; esac
	done </etc/os-release
	say systemd "$(systemctl --version 2>/dev/null | head -n 1)"
	while read -r key kib _; do
		case $key in MemTotal:) say memory-kib "$kib" ;; SwapTotal:) say swap-kib "$kib" ;; esac
	done </proc/meminfo
	say cpus "$(nproc 2>/dev/null)"
	for key in /etc/ssh/ssh_host_*_key.pub; do
		[ ! -r "$key" ] || say host-key "$(cat "$key")"
	done
	if command -v ip >/dev/null 2>&1; then
		ip -o addr show 2>/dev/null | while read -r _ _ _ address _; do say address "$address"; done
	else
		for address in $(hostname -I 2>/dev/null); do say address "$address"; done
	fi
	# timedatectl would start a service to answer.
	if [ -e /run/systemd/timesync/synchronized ]; then
		say synchronized yes
	elif [ -d /run/systemd/timesync ]; then
		say synchronized no
	elif command -v chronyc >/dev/null 2>&1; then
		case $(timeout 2 chronyc -n tracking 2>/dev/null) in
		*"Not synchronised"*) say synchronized no ;;
		*"Leap status"*) say synchronized yes ;;
		esac
	fi
	[ ! -r /sys/kernel/mm/transparent_hugepage/enabled ] || say huge-pages "$(cat /sys/kernel/mm/transparent_hugepage/enabled)"
	seen=
	for file in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor; do
		{ read -r governor <"$file"; } 2>/dev/null || continue
		case " $seen " in *" $governor "*) ;; *) seen="$seen $governor"; say governor "$governor" ;; esac
	done
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		say cgroup 2
	elif [ -d /sys/fs/cgroup ]; then
		say cgroup 1
	fi
	if [ -r /sys/fs/selinux/enforce ]; then say selinux "$(cat /sys/fs/selinux/enforce)"; else say selinux none; fi
	index=0
	for path; do
		filesystem "$index" "$(nearest "$path")"
		index=$((index + 1))
	done
}

# What lies below the directory $2; facts of it begin with the number $1.
filesystem() {
	mount=$(stat -c %m "$2" 2>/dev/null)
	say space "$1 $(stat -f -c '%S %b %a %c %d' "$2" 2>/dev/null)"
	say mount "$1 $mount"
	found=
	while read -r _ _ device _ point rest; do
		case $point in *\\*) point=$(printf %b "$(printf %s "$point" | sed 's/\\/\\0/g')") ;; esac # a space is spelled \040
		[ "$point" != "$mount" ] || found="$device ${rest#* - }" # what was mounted last is on top
	done </proc/self/mountinfo
	say type "$1 $found"
	device=${found%% *}
	source=${found#* } source=${source#* } source=${source%% *}
	below=/sys/dev/block/$device
	[ -n "$device" ] && [ -e "$below" ] || below=/sys/class/block/$(basename "$(readlink -f "$source" 2>/dev/null)" 2>/dev/null)
	[ -e "$below/queue" ] || below=$below/..
	[ -r "$below/queue/rotational" ] || return 0
	say rotational "$1 $(cat "$below/queue/rotational")"
	disks "$1" "$below"
}

# The disks that a block device is made of.
disks() {
	for part in "$2"/slaves/*; do
		if [ -e "$part" ]; then
			disks "$1" "$part"
		else
			place=$(readlink -f "$2")
			[ -e "$place/queue" ] || place=${place%/*}
			say disk "$1 ${place##*/}"
		fi
	done
}
