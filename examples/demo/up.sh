#!/usr/bin/env bash
# Boots three hosts on this machine and has one apply make them a cluster. `make demo` calls it.
set -euo pipefail
source "$(dirname "$0")/env.sh"
folder=$DEMO_ROOT/bin/demo

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "Boot three hosts"
labctl up -hosts 3
rm -rf "$folder" && mkdir -p "$folder"
cp "$DEMO_ROOT/examples/demo/main.tf" "$folder/"
labctl tfvars >"$folder/demo.auto.tfvars.json"

say "$(basename "$DEMO_CLI") init, and one apply"
(cd "$folder" && "$DEMO_CLI" init -no-color >/dev/null)
demo apply -auto-approve
(cd "$folder" && "$DEMO_CLI" output -raw ca_certificate >ca.crt)

say "What was done, as progress.log tells it"
cat "$folder/progress.log"

say "A key, put and read back over TLS"
demo etcdctl put greeting "hello from three hosts"
demo etcdctl get greeting
demo etcdctl endpoint status -w table

say "It is yours to play with"
cat <<'EOF'
  source examples/demo/env.sh                  # then, in this shell:
  demo etcdctl member list -w table
  demo plan                                    # no changes
  labctl run a systemctl stop etcd@demo        # break a member ...
  demo plan                                    # ... see it in the plan ...
  demo apply                                   # ... and have it repaired
  labctl ssh b                                 # log in to a host
  make demo-down                               # end it; no host is left
EOF
