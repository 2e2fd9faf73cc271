# What envs/vllm.sh and envs/lmms.sh share, and begin with: a folder .venv-NAME of packages that lies over .venv, built
# once. They set `lock`, whose packages are found first, all others in .venv, and call `layer "$@"`. Before that they
# define `fits`, which ends the program on a machine that the lock is not for, `contents`, what is installed in words,
# `install`, options of pip, `finish`, what is done in the folder `site` of the packages, and `check`, a Python program.
# With --key a script prints the key that a finished environment holds in .venv-NAME/finished.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER

name=$(basename "$0" .sh)
venv=.venv-$name
finished=$venv/finished
errors=$venv/errors

say() { printf '%s: %s\n' "$name" "$*"; }
die() {
    printf '%s: %s\n' "$name" "$*" >&2
    exit 1
}
fits() { :; }
install=()

[ -e .venv/finished ] || die ".venv is not built: make env first"

# Raise the recipe's number when the steps below, or in a script, change.
key() { { echo "recipe 1" && envs/build.sh --key && cat "$lock"; } | cksum; }

packages_of() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

layer() {
    local key user
    key=$(key)
    if [ "${1:-}" = --key ]; then
        printf '%s\n' "$key"
        return
    fi
    if [ "$(cat "$finished" 2>/dev/null)" = "$key" ] && "$venv/bin/python" -V >/dev/null 2>&1; then
        say "$venv is up to date"
        return
    fi
    fits

    say "1/3 $venv on top of .venv"
    if [ -d "$venv" ]; then
        user=$(envs/in_use.sh "$venv")
        if [ -n "$user" ]; then die "$venv is out of date, but process $user uses it: wait until it has ended"; fi
    fi
    rm -rf "$venv" # of a link the link alone
    .venv/bin/python -m venv --without-pip "$venv"
    python=$venv/bin/python
    site=$(packages_of "$python")

    say "2/3 $contents"
    packages
    # addsitedir, since .venv has .pth files of its own; this project, wherever .venv has it from
    printf '%s\n' "import site; site.addsitedir('$(packages_of .venv/bin/python)')" "$PWD" >"$site/layer.pth"
    finish

    say "3/3 checks"
    "$python" -c "$check" >/dev/null 2>"$errors" ||
        die "$(tail -n 1 "$errors") ($errors): remove $venv and run this again; if it fails again, report it with that file"

    rm "$errors"
    printf '%s\n' "$key" >"$finished"
    say "$venv is ready: $(du -sh "$venv" | cut -f 1) in $SECONDS s"
}

packages() {
    if .venv/bin/python -m pip --python "$python" install -q --disable-pip-version-check --no-input --no-deps \
        --require-hashes ${install[@]+"${install[@]}"} -r "$lock" 2>"$errors"; then
        return
    fi
    case $(cat "$errors") in
    *"No matching distribution"*)
        die "the index lacks a package of $lock: $(grep -m 1 'No matching' "$errors"): set PIP_INDEX_URL to an index that has it" ;;
    *"DO NOT MATCH THE HASHES"*)
        die "a package is not the one that was locked: clear pip's cache, or ask whoever runs your index ($errors)" ;;
    esac
    cat "$errors" >&2
    die "pip failed (see above): fix that, then run envs/$name.sh"
}
