#!/usr/bin/env bash
# Ends the demo: its hosts, and what terraform wrote. `make demo-down` calls it. The provider stays installed.
set -euo pipefail
source "$(dirname "$0")/env.sh"
labctl down
rm -rf "$DEMO_ROOT/bin/demo" "$DEMO_ROOT/bin/demo.tfrc"
echo "The provider stays where terraform and tofu find it for configurations of your own. To remove it as well:"
echo "  rm -r ~/.terraform.d/plugins/registry.*/etcd-on-hosts"
