#!/bin/sh
# One round of a pipeline: look at the cluster, mend what can be mended, and look again. It ends with 0 where all is
# well by then, and with 1 where a human has to look: a plan was refused, an apply failed, a repair has to wait, or
# the plan is more than a repair.
set -eu
umask 077

terraform=${TERRAFORM:-terraform} # or tofu
dir=$(mktemp -d)
plan=$dir/repair.tfplan # it holds the state, and with it the keys of etcd_pki: it never becomes an artifact
trap 'rm -rf "$dir"' EXIT

look() {
	code=0
	"$terraform" plan -input=false -lock-timeout=10m -detailed-exitcode -out="$plan" || code=$?
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

# Whatever is mended is an update. A resource that is to be made, replaced or destroyed is somebody's change, and is
# for somebody to approve.
changes=$("$terraform" show -json "$plan") || stop "the plan cannot be read"
if printf '%s' "$changes" | grep -Eq '"actions":\[[^]]*"(create|delete|forget)"'; then
	stop "the plan is more than a repair: nothing was applied"
fi

"$terraform" apply -input=false -lock-timeout=10m "$plan" || stop "the apply failed: run again, it goes on from what it finds"

look
case $code in
0) echo "repair.sh: mended" ;;
2) stop "something is left that no apply can mend now: the plan names it, and what to do" ;;
*) stop "after the apply the plan was refused, or the cluster could not be looked at" ;;
esac
