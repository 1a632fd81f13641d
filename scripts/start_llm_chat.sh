#!/bin/sh
# Starts the terminal client; the model's server is started by scripts/start_llm_server.sh.
exec alma chat "$@"
