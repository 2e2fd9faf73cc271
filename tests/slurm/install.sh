#!/usr/bin/env bash
# Slurm and munge for `make test-slurm`, from Debian's packages, where they are missing. They are not started here.
set -euo pipefail
if command -v slurmctld && command -v slurmd && command -v munged; then exit; fi >/dev/null
if ! command -v apt-get >/dev/null; then
    echo "test-slurm: Slurm is missing: install slurmctld, slurmd and munge (apt-get is not here to do it)" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "test-slurm: Slurm is missing: run as root, or first: apt-get install slurm-wlm munge" >&2
    exit 1
fi
echo "test-slurm: installing Slurm"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends slurm-wlm munge >/dev/null
