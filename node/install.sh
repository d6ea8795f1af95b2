# Unpacks a store from stdin beside its place, verifies it, and renames it into place.
set -eu
umask 022
[ ! -x "$root/$hash/store" ] || exit 0
mkdir -p "$root"
# What a power cut left of an earlier upload. One that is under way is younger than this.
find "$root" -maxdepth 1 -name '.incoming.*' -mmin +60 -exec rm -rf {} +
new=$(mktemp -d "$root/.incoming.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
gzip -dc >"$new/store"
echo "$hash  $new/store" | sha256sum -c --status || { echo "what arrived is not the store $hash" >&2; exit 1; }
chmod 755 "$new" "$new/store"
# A name that is a hash promises the bytes, after a power cut too.
sync "$new/store" "$new"
mv -T "$new" "$root/$hash" 2>/dev/null || [ -x "$root/$hash/store" ]
