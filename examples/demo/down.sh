#!/usr/bin/env bash
# Ends the demo: its hosts, and what terraform wrote. `make demo-down` calls it.
set -euo pipefail
source "$(dirname "$0")/env.sh"
labctl down
rm -rf "$DEMO_ROOT/bin/demo" "$DEMO_ROOT/bin/demo.tfrc"
