#!/usr/bin/env bash
# Builds .venv-lmms, to which scripts switch for benchmarks that are tasks of lmms-eval; does nothing if it is built
# already. It is a layer on top of .venv: packages of lmms.lock are found first, all others, torch too, in .venv.
#   envs/lmms.sh --key    prints the key that a finished environment holds in .venv-lmms/finished
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER

venv=.venv-lmms
finished=$venv/finished
errors=$venv/errors
lock=envs/lmms.lock

say() { printf 'lmms: %s\n' "$*"; }
die() {
    printf 'lmms: %s\n' "$*" >&2
    exit 1
}

# Raise the recipe's number when the steps below change.
key() { { echo "recipe 1" && envs/build.sh --key && cat $lock; } | cksum; }

[ -e .venv/finished ] || die ".venv is not built: make env first"
key=$(key)
if [ "${1:-}" = --key ]; then
    printf '%s\n' "$key"
    exit
fi
if [ "$(cat $finished 2>/dev/null)" = "$key" ] && $venv/bin/python -V >/dev/null 2>&1; then
    say "$venv is up to date"
    exit
fi

say "1/3 $venv on top of .venv"
if [ -d $venv ]; then
    user=$(envs/in_use.sh $venv)
    if [ -n "$user" ]; then die "$venv is out of date, but process $user uses it: wait until it has ended"; fi
fi
rm -rf $venv # of a link the link alone
.venv/bin/python -m venv --without-pip $venv
python=$venv/bin/python
site_of='import sysconfig; print(sysconfig.get_path("purelib"))'
site=$($python -c "$site_of")

say "2/3 lmms-eval and the $(($(grep -c == $lock) - 1)) packages that it adds"
if ! .venv/bin/python -m pip --python $python install -q --disable-pip-version-check --no-input --no-deps \
    --require-hashes -r $lock 2>$errors; then
    case $(cat $errors) in
    *"No matching distribution"*)
        die "the index lacks a package of $lock: $(grep -m 1 'No matching' $errors): set PIP_INDEX_URL to an index that has it" ;;
    *"DO NOT MATCH THE HASHES"*)
        die "a package is not the one that was locked: clear pip's cache, or ask whoever runs your index ($errors)" ;;
    esac
    cat $errors >&2
    die "pip failed (see above): fix that, then run envs/lmms.sh"
fi
# addsitedir, since .venv has .pth files of its own; this project, wherever .venv has it from
printf '%s\n' "import site; site.addsitedir('$(.venv/bin/python -c "$site_of")')" "$PWD" >"$site/layer.pth"
# lmms-eval finds models of others by their entry points. .venv does without: it need not be built again for this.
mkdir "$site/lmms_eval_modomodo-1.dist-info"
printf 'Metadata-Version: 2.1\nName: lmms-eval-modomodo\nVersion: 1\n' >"$site/lmms_eval_modomodo-1.dist-info/METADATA"
printf '[lmms_eval.models]\nmodomodo = lmms_eval_modomodo:MANIFEST\n' >"$site/lmms_eval_modomodo-1.dist-info/entry_points.txt"

say "3/3 checks"
$python -c '
import lmms_eval.evaluator, modomodo
from lmms_eval.models import get_model
get_model("modomodo")' >/dev/null 2>$errors || die "$(tail -n 1 $errors) ($errors): remove $venv and run this again; if it fails again, report it with that file"

rm $errors
printf '%s\n' "$key" >$finished
say "$venv is ready: $(du -sh $venv | cut -f 1) in $SECONDS s"
