#!/bin/bash
# slurm_down.sh FOLDER: ends the daemons that slurm_up.sh started there.
for file in "$1"/run/slurmd-*.pid "$1"/run/slurmctld.pid "$1"/run/munged.pid; do
  [ -s "$file" ] && kill "$(cat "$file")" 2> /dev/null
done
true
