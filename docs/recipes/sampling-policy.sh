#!/usr/bin/env bash
# What collectors sample is a document; each region's agent renders what is in force into a file.
set -euo pipefail

work=$(mktemp -d)
trap 'kill "${agent:-$$}" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' TERM

policy() {
    printf 'sampling:\n  default_percent: %s\n  errors_percent: 100\n' "$1" >"$work/policy.yaml"
    leadplane config put recipe-sampling "$work/policy.yaml" "$2" \
        --rollout all-at-once --final-bake 0s --reason "$3"
}

policy 5 --create "a start"

# Beside each collector. In earnest the reload is a signal to it; here it counts.
leadplane config follow recipe-sampling --to "$work/collector/sampling.yaml" \
    --reload "echo reloaded >>'$work/reloads'" >"$work/agent.log" 2>&1 &
agent=$!

rendered() { until grep -qs "default_percent: $1" "$work/collector/sampling.yaml"; do sleep 0.1; done; }

rendered 5
policy 1 --force "traces are dear"
rendered 1
until [ "$(wc -l <"$work/reloads")" -ge 2 ]; do sleep 0.1; done
cat "$work/collector/sampling.yaml"
