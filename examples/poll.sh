#!/bin/sh
# Look at a build from a shell: jq, and nothing of Python. The file of a build that was killed says
# "running" for ever: only `guardkit status` and `guardkit wait` ask whether the builder lives.
#
# Run:    sh examples/poll.sh TASK-ID [ROOT] [SECONDS]
# Prints: a line whenever the build has changed, until it has ended
#     running  turn 1/5  Player Implementation  2 files
#     completed  turn 2/5  Coach Validation  3 files
set -eu
file="${2:-.}/.guardkit/autobuild/$1/progress.json"
last=
while :; do
    line=$(jq -r '[.status, "turn \(.turn)/\(.turn_max)", .phase,
        "\(.metrics.files_created + .metrics.files_modified) files"] | join("  ")' "$file")
    if [ "$line" != "$last" ]; then
        echo "$line"
        last=$line
    fi
    case $line in running*) sleep "${3:-1}" ;; *) exit 0 ;; esac
done
