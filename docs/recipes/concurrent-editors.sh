#!/usr/bin/env bash
# Two people edit one document at the same time: one is first, the other is told, and decides anew.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "limit: 100" >"$work/new.yaml"
leadplane config put recipe-limits "$work/new.yaml" --create --reason "a start"

# Both take the document home. The first line of each file says which version it is.
leadplane config get recipe-limits --content >"$work/ann.yaml"
leadplane config get recipe-limits --content >"$work/bob.yaml"
sed -i 's/^limit: .*/limit: 200/' "$work/ann.yaml"
echo "burst: 50" >>"$work/bob.yaml"

leadplane config put recipe-limits "$work/ann.yaml" --reason "Ann: twice as much"
if leadplane config put recipe-limits "$work/bob.yaml" --reason "Bob: bursts"; then
    echo "Bob's edit would have undone Ann's" >&2
    exit 1
fi

# Bob reads it again, and makes his change on top of Ann's.
leadplane config get recipe-limits --content >"$work/bob.yaml"
echo "burst: 50" >>"$work/bob.yaml"
leadplane config put recipe-limits "$work/bob.yaml" --reason "Bob: bursts, after Ann"

leadplane config history recipe-limits
leadplane config get recipe-limits --content
