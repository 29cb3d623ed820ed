#!/bin/sh
# Start Open WebUI with a connection to `qvq serve`. QVQ_URL names another address than its default.
set -eu
export OPENAI_API_BASE_URL="${QVQ_URL:-http://127.0.0.1:8080/v1}"
export OPENAI_API_KEY="${QVQ_SERVE_TOKEN:-none}"
export ENABLE_OLLAMA_API=false
export ENABLE_TITLE_GENERATION=false ENABLE_TAGS_GENERATION=false ENABLE_FOLLOW_UP_GENERATION=false
export ENABLE_AUTOCOMPLETE_GENERATION=false
export WEBUI_AUTH=false
export OFFLINE_MODE=true
exec open-webui serve --host 127.0.0.1 --port 3000
