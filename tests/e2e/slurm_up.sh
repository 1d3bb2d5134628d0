#!/bin/bash
# slurm_up.sh FOLDER: a Slurm of this machine alone for one test, with four nodes of one GPU each, which is a name for an
# empty file. No systemd, no cgroups, no data base. Ends with 0 when the nodes are idle; slurm_down.sh ends the daemons.
# They listen on ports from SLURM_PORT on. Afterwards SLURM_CONF=FOLDER/slurm.conf.
set -euo pipefail
dir=$(realpath -m "$1") nodes=4 port=${SLURM_PORT:-16817}
mkdir -p "$dir"/{run,log,state,spool} && chmod 755 "$dir" "$dir/run"
head -c 128 /dev/urandom > "$dir/munge.key" && chmod 400 "$dir/munge.key"
touch "$dir/gpu" && echo "NodeName=n[1-$nodes] Name=gpu File=$dir/gpu" > "$dir/gres.conf"
cat > "$dir/slurm.conf" << CONF
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/run/munge.socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
GresTypes=gpu
ReturnToService=2
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1
NodeName=n[1-$nodes] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=$(nproc) Gres=gpu:1
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=10
CONF
export SLURM_CONF=$dir/slurm.conf PATH=$PATH:/usr/sbin
munged --key-file="$dir/munge.key" --socket="$dir/run/munge.socket" --pid-file="$dir/run/munged.pid" \
       --log-file="$dir/log/munged.log" --seed-file="$dir/munge.seed"
slurmctld
for n in $(seq $nodes); do mkdir -p "$dir/spool/n$n"; slurmd -N "n$n"; done
for _ in $(seq 600); do
  [ "$(sinfo -h -t idle -o %D 2> /dev/null)" = $nodes ] && exit 0
  sleep 0.1
done
echo "the nodes did not become idle" >&2; tail -n 5 "$dir"/log/*.log >&2; exit 1
