#!/usr/bin/env bash
# A feature flag is rolled out: for a tenth of the users, region by region; then for all; then killed.
set -euo pipefail

BAKE=${BAKE:-1s} # 10m in earnest: how long each wave is watched
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flags() { # the document, with the share of users who have it, and whether it is on at all
    cat >"$work/flags.recipe.yaml" <<YAML
flags:
  new-checkout:
    enabled: $2
    split:
      - {serve: "on", percent: $1}
      - {serve: "off", percent: $((100 - $1))}
YAML
}

# Nobody asks this fleet for anything, so its gate is to judge by what needs no requests; and leaders
# of a fleet that is young are on their way home, so that elections say nothing of the rollout.
echo '{name: fleet, measures: [nodes, leaders, fenced, lag]}' >"$work/gate.yaml"

roll_out() { # apply the document, and wait for its rollout: the exit status says how it ended
    leadplane config apply -f "$work/flags.recipe.yaml" --yes --reason "$1"
    number=$(leadplane rollouts start flags.recipe --strategy linear --bake "$BAKE" \
        --final-bake "$BAKE" --gate "$work/gate.yaml" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["rollout"])')
    leadplane rollouts status "$number" --timeout 5m
}

share() { # of twenty users, how many have it on, as the fleet evaluates it
    for user in $(seq 20); do
        leadplane flags evaluate new-checkout --targeting-key "user-$user" -o json
    done | grep -c '"value": *true' || true
}

flags 10 true
roll_out "for a tenth"
echo "of 20 users have it: $(share)"

flags 100 true
roll_out "for all"
echo "of 20 users have it: $(share)"

flags 100 false # the kill switch: whatever the rules say, it is off
roll_out "it was slow"
echo "of 20 users have it: $(share)"
