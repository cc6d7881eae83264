#!/usr/bin/env bash
# Every node is started anew, one after the other, while the fleet serves; and it is checked before
# and after. `leadplane fleet upgrade --exec COMMAND` does the same with another version.
set -euo pipefail

whole() { # every shard is led, and the log of what was changed is a chain
    leadplane status -o json | python3 -c '
import json, sys
status = json.load(sys.stdin)
sys.exit(status["shards_led"] != status["shards_total"])'
    leadplane audit verify
}

until whole; do sleep 0.5; done
leadplane kv put '{recipe}/before' "still there"

leadplane fleet restart --dir "${FLEET:-.leadplane}" # the folder of `leadplane up`; else: --exec COMMAND

until whole; do sleep 0.5; done
leadplane kv get '{recipe}/before'
