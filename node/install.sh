# Unpacks a store from stdin beside its place, verifies it, and renames it into place.
set -eu
umask 022
stored() { [ -f "$root/$hash/store" ] && [ -x "$root/$hash/store" ]; }
# Who leaves this host with another cluster removes no store that a run wants. It is said before the store is looked for: who
# removes one moves it away first, and looks then. By the time since the boot, since the host's clock may jump.
want() { mkdir -p -m 700 "${wanted%/*}" && cut -d' ' -f1 /proc/uptime >"$wanted"; }
want
! stored || exit 0
mkdir -p "$root"
# What is left of an earlier upload, whose shell has ended: by a power cut, or killed.
boot=$(cat /proc/sys/kernel/random/boot_id)
for left in "$root"/.incoming.*.*.*; do
	of=${left##*/.incoming.}
	shell=${of#*.}
	if [ "${of%%.*}" != "$boot" ] || [ ! -d "/proc/${shell%.*}" ]; then rm -rf "$left"; fi
done
# Older versions said no more of theirs than when it began.
find "$root" -maxdepth 1 -name '.incoming.*' ! -name '.incoming.*.*.*' -mmin +60 -exec rm -rf {} +
new=$(mktemp -d "$root/.incoming.$boot.$$.XXXXXX")
unpacking=
trap 'kill $unpacking 2>/dev/null || :; rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
exec 3<&0
gzip -dc <&3 3<&- >"$new/store" &
unpacking=$!
# Whoever sends it may have fallen asleep: sshd would notice after hours.
( had=-1
	while sleep "$silence" && kill -0 "$unpacking"; do
		has=$(wc -c <"$new/store")
		[ "$has" != "$had" ] || { : >"$new/silent"; kill "$unpacking"; }
		had=$has
	done ) </dev/null 3<&- >/dev/null 2>&1 &
watching=$!
wait "$unpacking" || { [ ! -e "$new/silent" ] || echo "nothing has arrived for $silence s" >&2; exit 1; }
unpacking=
kill "$watching" 2>/dev/null || :
echo "$hash  $new/store" | sha256sum -c --status || { echo "what arrived is not the store $hash" >&2; exit 1; }
chmod 755 "$new" "$new/store"
# A name that is a hash promises the bytes, after a power cut too.
sync "$new/store" "$new"
# A directory of that name stays where it is: one that a concurrent upload has put there, or one that has lost its store.
mv -T "$new" "$root/$hash" 2>/dev/null || stored || { mv -fT "$new/store" "$root/$hash/store" && sync "$root/$hash"; } || exit 1
want # it may have taken longer than that counts
