#!/usr/bin/env bash
# Installs Slurm, munge and a database for `make test-slurm` from Debian's packages if they are missing. Does not
# start them.
set -euo pipefail
if command -v slurmctld && command -v slurmd && command -v slurmdbd && command -v munged && command -v mariadbd; then exit; fi >/dev/null
if ! command -v apt-get >/dev/null; then
    echo "test-slurm: Slurm is missing: install slurmctld, slurmd, slurmdbd, munge and MariaDB's server (there is no apt-get to do it)" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "test-slurm: Slurm is missing: run as root, or first: apt-get install slurm-wlm slurmdbd munge mariadb-server" >&2
    exit 1
fi
echo "test-slurm: installing Slurm"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    slurm-wlm slurmdbd munge mariadb-server >/dev/null
