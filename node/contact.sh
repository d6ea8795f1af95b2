# First contact: what can be known of a host by POSIX sh and coreutils alone. It only reads.
# inventory.sh comes before it where an inventory is wanted, with the paths of interest as arguments; none is taken
# of a host that carries the cluster.
# Login shells that are not interactive may leave out where administration tools lie.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# A fact is one line, whatever it says: names of files may hold line breaks, and other users may name them.
newline='
'
say() {
	value=$2
	case $value in *"$newline"*) value=$(printf %s "$value" | tr '\n' ' ') ;; esac
	printf '%s %s\n' "$1" "$value"
}

say kernel "$(uname -r)"
say machine "$(uname -m)"
say time "$(date +%s)"
say init "$(cat /proc/1/comm)"
[ ! -r /etc/machine-id ] || say machine-id "$(cat /etc/machine-id)"
[ ! -r /proc/sys/kernel/random/boot_id ] || say boot-id "$(cat /proc/sys/kernel/random/boot_id)"

for command in gzip sha256sum mktemp find useradd systemctl; do
	command -v "$command" >/dev/null 2>&1 || say missing "$command"
done

[ "$(cat /proc/sys/user/max_user_namespaces 2>/dev/null)" != 0 ] || say no-user-namespaces yes
[ ! -r /proc/sys/net/ipv4/ip_unprivileged_port_start ] || say first-port "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"

nearest() {
	at=$1
	while [ ! -d "$at" ]; do at=$(dirname "$at"); done
	echo "$at"
}
free() { df -Pk "$1" | { read -r _; read -r _ _ _ available _; echo "$available"; }; }

install=$(nearest "$root")
[ -w "$install" ] || say read-only "$install"
mount=$(df -P "$install" | { read -r _; read -r _ _ _ _ _ on; echo "$on"; })
while read -r _ on _ options _; do
	[ "$on" != "$mount" ] || with=$options
done </proc/self/mounts
case ,${with-}, in *,noexec,*) say noexec "$mount" ;; esac
# A host that carries the cluster has been written to, and whatever it lacks since is its member's to say.
[ -e "$marker" ] || [ -z "$data" ] || for place in "${marker%/*}" "$units" "${data%/*}/" "$data"; do
	at=$(nearest "$place")
	[ -w "$at" ] || say unwritable "$at"
done
say free-kib "$(free "$install")"
say data-free-kib "$(free "$(nearest "$data")")"

say root "$(readlink -f "$root" 2>/dev/null || echo "$root")"
for store in "$root"/*/store; do
	[ ! -f "$store" ] || [ ! -x "$store" ] || [ -L "${store%/store}" ] || say installed "$(basename "${store%/store}")"
done
[ ! -e "$marker" ] || say marker "$(base64 -w0 <"$marker")"
[ -z "$(ls -A "$data" 2>/dev/null | grep -vx -e lost+found -e "aside-.*")" ] || say data yes

cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local _ state _ _ _ _ _ inode _; do
	[ "$state" = 0A ] || continue
	port=${local##*:}
	say listen "$port"
	# Who listens on one of the cluster's ports, where that cannot be its own member. Looking through all open files takes a moment.
	case " $ports " in *" $port "*) ;; *) continue ;; esac
	[ ! -e "$marker" ] || continue
	holder=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | head -n 1)
	holder=${holder#/proc/} holder=${holder%%/*}
	[ -z "$holder" ] || say holder "$port $holder $(cat "/proc/$holder/comm" 2>/dev/null)"
done
for process in /proc/[0-9]*; do
	{ read -r name <"$process/comm"; } 2>/dev/null || continue
	[ "$name" != etcd ] || say etcd "$(readlink "$process/exe")"
done
[ $# = 0 ] || [ -e "$marker" ] || inventory "$@"
say end .
