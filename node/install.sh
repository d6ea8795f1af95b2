# Receives a store's archive from stdin beside its place, unpacks and verifies it, and renames it into place. It first
# says how much of the archive is here, of uploads that were cut off: whoever sends it leaves that out.
set -eu
umask 022
# An address may lead to another machine than the run observed, or to a clone of it.
is() { # what it is, its file, and the ID there that the run observed; empty: not known
	here=$(cat "$2" 2>/dev/null) || return 0
	[ -z "$3" ] || [ "$here" = "$3" ] || {
		echo "the run observed another machine here, or this one before it was booted: its $1 ID is $here, and was $3; check address, ssh_address and ssh_port, and apply again" >&2
		exit 1
	}
}
is machine /etc/machine-id "$machine"
is boot /proc/sys/kernel/random/boot_id "$booted"
stored() { [ -f "$root/$hash/store" ] && [ -x "$root/$hash/store" ]; }
size() { wc -c <"$1"; }
# Who leaves this host with another cluster removes no store that a run wants. It is said before the store is looked for: who
# removes one moves it away first, and looks then. By the time since the boot, since the host's clock may jump.
want() { mkdir -p -m 700 "${wanted%/*}" && cut -d' ' -f1 /proc/uptime >"$wanted"; }
want
! stored || exit 0
mkdir -p "$root"
boot=$(cat /proc/sys/kernel/random/boot_id)
# The lock of the cluster's run is held as long as something arrives here.
new=$(mktemp -d "$root/.incoming.$boot.$$.$cluster-XXXXXX")
part=$new/$archive
: >"$part"
receiving= stays=
trap 'kill $receiving 2>/dev/null || :; { [ -n "$stays" ] && [ -s "$part" ]; } || rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
# Any beginning of the archive will do, that of an upload that is under way too, but none from before a power cut, which
# may have lost what it seems to hold.
has=0
for left in "$root/.incoming.$boot".*/"$archive"; do
	holds=$(size "$left" 2>/dev/null) || continue
	if [ "$holds" -gt "$has" ] && [ "$holds" -le "$bytes" ]; then cp "$left" "$part" || :; has=$(size "$part"); fi
done
# What is left of an upload whose shell has ended: by a power cut, killed, or cut off. That of another archive stays for
# an hour, for the run that may go on with it.
for left in "$root"/.incoming.*.*.*; do
	of=${left##*/.incoming.}
	shell=${of#*.}
	if [ "${of%%.*}" = "$boot" ]; then
		[ ! -d "/proc/${shell%%.*}" ] || continue
		[ -e "$left/$archive" ] || [ -z "$(find "$left" -mindepth 1 -mmin -60 2>/dev/null)" ] || continue
	fi
	rm -rf "$left"
done
# Older versions said no more of theirs than when it began.
find "$root" -maxdepth 1 -name '.incoming.*' ! -name '.incoming.*.*.*' -mmin +60 -exec rm -rf {} +
printf '#!/bin/sh\n' >"$new/store"
chmod 755 "$new/store"
[ -x "$new/store" ] || { echo "$root lies on a file system that is mounted noexec, and members run from there: mount it without noexec, and apply again" >&2; exit 1; }
rm "$new/store"
echo "$archive has $has"
exec 3<&0
stays=yes
cat <&3 3<&- >>"$part" &
receiving=$!
# Whoever sends it may have fallen asleep: sshd would notice after hours.
( had=-1
	while sleep "$silence" && kill -0 "$receiving"; do
		has=$(size "$part")
		[ "$has" != "$had" ] || { : >"$new/silent"; kill "$receiving"; }
		had=$has
	done ) </dev/null 3<&- >/dev/null 2>&1 &
watching=$!
wait "$receiving" || { if [ -e "$new/silent" ]; then echo "nothing has arrived for $silence s" >&2; else stays=; fi; exit 1; }
receiving=
kill "$watching" 2>/dev/null || :
has=$(size "$part")
[ "$has" -ge "$bytes" ] || { echo "$has of $bytes bytes have arrived: it was cut off on its way" >&2; exit 1; }
stays=
gzip -dc <"$part" >"$new/store"
rm -f "$part" "$new/silent"
echo "$hash  $new/store" | sha256sum -c --status || { echo "what arrived is not the store $hash" >&2; exit 1; }
chmod 755 "$new" "$new/store"
# A name that is a hash promises the bytes, after a power cut too.
sync "$new/store" "$new"
# A directory of that name stays where it is: one that a concurrent upload has put there, or one that has lost its store.
mv -T "$new" "$root/$hash" 2>/dev/null || stored || { mv -fT "$new/store" "$root/$hash/store" && sync "$root/$hash"; } || exit 1
want # it may have taken longer than that counts
