#!/usr/bin/env bash
# Security policies are what a directory says: planned, applied, and put right after a change by hand.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/policies"

cat >"$work/policies/recipe-ingress.yaml" <<'YAML'
default: deny
allow:
  - {from: web, to: api, port: 8443}
YAML
cat >"$work/policies/recipe-tls.yaml" <<'YAML'
minimum: "1.3"
YAML

in_step() { # whether the fleet is as the directory says: status 2 says that something differs
    leadplane config sync "$work/policies" --plan
}

in_step || echo "to be applied"
leadplane config sync "$work/policies" --yes --strategy all-at-once --final-bake 0s \
    --reason "from the directory"
for name in recipe-ingress recipe-tls; do # until every region runs them
    until leadplane config effective "$name" -o json | python3 -c '
import json, sys
rows = json.load(sys.stdin)["items"]
sys.exit(any(row["drift"] != "none" or not row["applied"] for row in rows))'; do sleep 0.2; done
done

# Somebody weakens a policy by hand, at night. The edit alone has no effect; the plan shows it.
echo 'minimum: "1.0"' >"$work/weak.yaml"
leadplane config put recipe-tls "$work/weak.yaml" --force --reason "an old client"
if in_step; then
    echo "the drift was not seen" >&2
    exit 1
fi
leadplane config sync "$work/policies" --yes --strategy all-at-once --final-bake 0s \
    --reason "as the directory says"
leadplane config get recipe-tls --content
