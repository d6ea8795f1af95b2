#!/bin/sh
# One round of a pipeline: plan, apply the repairs that an apply can do, and plan again. It ends with 0 where all is
# well by then, and with 1 where a human has to look: a plan was refused, an apply failed, a repair has to wait, or
# the plan is more than a repair. It takes jq.
set -eu
umask 077

terraform=${TERRAFORM:-terraform} # or tofu
dir=$(mktemp -d)
plan=$dir/repair.tfplan # it holds the state, and with it the keys of etcd_pki: it never becomes an artifact
trap 'rm -rf "$dir"' EXIT
# Who cancels a job kills it seconds later: the plan goes at once. An apply is not cut off, but told by whoever tells the
# whole job, or let come to its end: two signals would have it end in the middle of a step.
trap 'trap "" HUP INT TERM; rm -rf "$dir"; wait; exit 1' HUP INT TERM

# run has a command run beside the shell, which would hear of a signal only after it.
run() {
	code=0
	"$@" &
	wait $! || code=$?
}

look() {
	run "$terraform" plan -input=false -lock-timeout=10m -detailed-exitcode -out="$plan"
}

stop() {
	echo "repair.sh: $1" >&2
	exit 1
}

look
case $code in
0) exit 0 ;;
2) ;;
*) stop "the plan was refused, or the cluster could not be looked at" ;;
esac

# Each change of a plan, by what it is for. Those of etcd_cluster and of etcd_certificate say it themselves, in
# planned_change: hosts are repaired, and a certificate that is about to expire is renewed. One whose files are not on
# this machine is none of these: its apply would make another key. Whatever else is to be made, changed, replaced or
# destroyed is somebody's change, and is for somebody to approve.
purposes='
.resource_changes[]?
| select(.mode == "managed")
| select(.change.actions != ["no-op"] or .change.importing != null or .previous_address != null)
| .address + ": " +
  if .change.actions != ["update"] then .change.actions | join(", ")
  elif .type == "etcd_cluster" or .type == "etcd_certificate" then .change.after.planned_change // "known after apply"
  else "update" end
'
json=$dir/repair.json
run "$terraform" show -json "$plan" >"$json"
[ "$code" = 0 ] || stop "the plan cannot be read"
found=$(jq -r "$purposes" "$json") || stop "the plan cannot be read"
rm "$json"
if printf '%s' "$found" | grep -Evq ': (repair|renewal|none)$'; then
	printf '%s\n' "$found" >&2
	stop "the plan is more than a repair: nothing was applied"
fi
# A plan that changes no resource changes outputs alone.
if [ -n "$found" ] && ! printf '%s' "$found" | grep -Eq ': (repair|renewal)$'; then
	stop "something is left that no apply can repair now: the plan names it, and what to do"
fi

run "$terraform" apply -input=false -lock-timeout=10m "$plan"
[ "$code" = 0 ] || stop "the apply failed: run again, it goes on from what it finds"

look
case $code in
0) echo "repair.sh: repaired" ;;
2) stop "something is left that no apply can repair now: the plan names it, and what to do" ;;
*) stop "after the apply the plan was refused, or the cluster could not be looked at" ;;
esac
