#!/bin/sh
# @raycast.schemaVersion 1
# @raycast.title Ask About a Picture
# @raycast.mode fullOutput
# @raycast.packageName qvq
# @raycast.description Ask about the clipboard's picture, or a part of the screen, on this Mac alone.
# @raycast.argument1 { "type": "dropdown", "placeholder": "Picture", "data": [{"title": "Clipboard", "value": "clip"}, {"title": "Part of the screen", "value": "screen"}] }
# @raycast.argument2 { "type": "text", "placeholder": "Question" }
QVQ=qvq

PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin
exec "$QVQ" ask "$1" -Q "$2" </dev/null
