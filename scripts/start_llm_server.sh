#!/bin/sh
# Start the language model's server on 127.0.0.1:5000; options are those of «alma serve».
exec alma serve "$@"
