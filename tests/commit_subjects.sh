#!/usr/bin/env bash
# Fails if a commit subject is longer than 60 characters or ends with a full stop.
# Takes arguments for git log, such as main..HEAD (default: the newest commit); passes if there is no history.
set -euo pipefail
git rev-parse --verify --quiet HEAD > /dev/null 2>&1 || exit 0
if [ $# = 0 ]; then set -- -1 HEAD; fi
wrong=$(git log --no-merges --format='%h %s' "$@" | grep -E '^[^ ]+ (.{61,}|.*\.)$' || true)
[ -z "$wrong" ] || { echo "commit subjects: at most 60 characters, no full stop:"; echo "$wrong"; exit 1; } >&2
