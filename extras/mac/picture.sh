#!/bin/sh
# Ask about the pictures that are given: a window for the question, another one for the answer.
# The Finder's Quick Action and the action of Shortcuts hold this text, with qvq's own place.
set -u
QVQ=qvq

PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin
question=$(osascript \
    -e 'text returned of (display dialog "What do you want to know about the picture?" default answer "What is in this picture?" with title "qvq")' \
    2>/dev/null) || exit 0 # Cancel
errors=$(mktemp "${TMPDIR:-/tmp}/qvq.XXXXXX") || exit 1
trap 'rm -f "$errors"' EXIT
if answer=$("$QVQ" ask -Q "$question" "$@" </dev/null 2>"$errors"); then
    title="qvq"
    code=0
else
    code=$?
    title="qvq: no answer"
    answer=$(cat "$errors")
fi
# the title comes first: an answer that begins with a dash would be an option of osascript
osascript -e 'on run argv' \
    -e 'set chosen to button returned of (display dialog (item 2 of argv) with title (item 1 of argv) buttons {"Copy", "OK"} default button "OK")' \
    -e 'if chosen is "Copy" then set the clipboard to (item 2 of argv)' \
    -e 'end run' "$title" "$answer" >/dev/null 2>&1
printf '%s\n' "$answer"
exit "$code"
