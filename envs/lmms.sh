#!/usr/bin/env bash
# Builds .venv-lmms, to which scripts switch for benchmarks that are tasks of lmms-eval; does nothing if it is built
# already (envs/layer.sh). torch, too, is that of .venv.
#   envs/lmms.sh --key    prints the key that a finished environment holds in .venv-lmms/finished
. "$(dirname "$0")/layer.sh"

lock=envs/lmms.lock
contents="lmms-eval and the $(($(grep -c == "$lock") - 1)) packages that it adds"

# lmms-eval finds models of others by their entry points. .venv does without: it need not be built again for this.
finish() {
    local about=$site/lmms_eval_modomodo-1.dist-info
    mkdir "$about"
    printf 'Metadata-Version: 2.1\nName: lmms-eval-modomodo\nVersion: 1\n' >"$about/METADATA"
    printf '[lmms_eval.models]\nmodomodo = lmms_eval_modomodo:MANIFEST\n' >"$about/entry_points.txt"
}

check='
import lmms_eval.evaluator, modomodo
from lmms_eval.models import get_model
get_model("modomodo")'

layer "$@"
