#!/usr/bin/env bash
# Builds .venv from the hashed locks in this folder; does nothing if it is built already. Run by `make env`.
#   PYTHON=/path/to/python    the interpreter, if the one that is found does not fit
#   envs/build.sh --dev       also installs dev.lock (tests, linters, benchmarks) into it: `make env-dev`
#   envs/build.sh --check     builds and changes nothing: fails if there is no environment, says if it is out of date
#   envs/build.sh --key       prints the key that a finished environment holds in .venv/finished
# Packages of your own that .venv should have, one requirement a line, go into envs/own.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER # each would put packages elsewhere

venv=.venv
python=$venv/bin/python
finished=$venv/finished # the key of what was built
building=$venv/building # the process that builds it, or was killed while building
errors=$venv/errors     # pip's last complaints
dev=$venv/dev.lock      # a copy of the dev.lock that was installed
adding=$venv/adding     # the process that installs it, or was killed while installing
own=$venv/own.txt       # a copy of the envs/own.txt that was installed
gigabyte=1048576        # in df's units

say() { printf 'env: %s\n' "$*"; }
die() {
    printf 'env: %s\n' "$*" >&2
    exit 1
}

# Other locks, another place (a virtual environment cannot be moved) or another recipe (raise its number when
# the steps of `build` change) make another environment.
key() {
    { echo "recipe 1" && pwd && cat envs/bootstrap.lock envs/torch.lock envs/cuda.lock envs/main.lock; } | cksum
}

# The base interpreter behind a fitting Python: an activated .venv must not be built from itself.
base_of() {
    "$1" -c 'import sys
if not (3, 11) <= sys.version_info < (3, 14): sys.exit(1)
print(sys._base_executable)' 2>/dev/null
}

find_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        base_of "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.11, 3.12 or 3.13: name one that is"
        return
    fi
    for name in python3.11 python3.12 python3.13 python3; do
        if base_of "$name"; then return; fi
    done
    die "no Python 3.11, 3.12 or 3.13 on the PATH: install one, or name it (make PYTHON=/path/to/python3.11)"
}

# The wheels are cached and unpacked as well, so this asks for a little more than what remains.
need_disk() {
    local free
    free=$(df -Pk . | awk 'NR == 2 { print $4 }')
    if [ "$free" -lt $(($1 * gigabyte)) ]; then
        die "$((free / gigabyte)) GB free in $PWD, $1 GB needed for $2: free some, or clone to a larger disk"
    fi
}

# On a terminal pip shows its progress; in a log only what goes wrong.
quiet=-q
if [ -t 1 ]; then quiet=; fi

pip() { "$python" -m pip --disable-pip-version-check --no-input "$@"; }

# Exact files and nothing else: no dependency is looked for, so nothing can replace torch or bring torchvision.
install() { pip_or_die install $quiet --no-deps --no-build-isolation "$@"; }

pip_or_die() {
    if pip "$@" 2>"$errors"; then return; fi
    case $(cat "$errors") in
    *"No space left"* | *"Disk quota"*)
        die "the disk or quota is full: free some, or set TMPDIR and PIP_CACHE_DIR to a larger disk ($errors)" ;;
    *"DO NOT MATCH THE HASHES"*)
        die "a package is not the one that was locked: clear pip's cache, or ask whoever runs your index ($errors)" ;;
    *"after connection broken"* | *ConnectionError* | *ProxyError* | *"timed out"*)
        die "the package index was not reached: fix the network or proxy, or set PIP_INDEX_URL ($errors)" ;;
    *"No matching distribution"*)
        die "the index has no build of a package for this system: fix PIP_INDEX_URL, or use Python 3.11 ($errors)" ;;
    esac
    cat "$errors" >&2
    die "pip failed (see above): fix that, then make env"
}

# Whether process $1 (may be empty) still runs.
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

up_to_date() {
    [ "$(cat $finished 2>/dev/null)" = "$key" ] && version=$("$python" -V 2>/dev/null) &&
        { [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$version" ]; }
}

# Deletes what a finished or half-built environment holds; says what that is. Nothing behind a link, nothing in use.
clear_venv() {
    local user lost
    if [ -L $venv ]; then
        die "$venv is a link to $(readlink $venv), which is not empty, and make env deletes nothing there: remove the link (rm $venv), or empty that folder yourself"
    fi
    user=$(envs/in_use.sh $venv)
    if [ -n "$user" ]; then
        die "$venv $1, but process $user uses it: wait until it has ended, then make env"
    fi
    if compgen -G ".snakemake/locks/*.lock" >/dev/null; then
        die "$venv $1, but a Snakemake works in this folder, maybe on another machine, or one was killed: wait until it has ended, or, if there is none, snakemake --unlock"
    fi
    lost=$(not_listed)
    say "$venv ($(du -sh $venv/ | cut -f 1)) $1: deleting it and building it again, which takes minutes"
    if [ -n "$lost" ]; then
        say "what no lock names is not installed again, unless envs/own.txt names it: $lost"
    fi
    echo $$ >$building
    rm -f $finished
    find $venv/ -mindepth 1 ! -path "$building" -delete
}

# Packages in .venv that neither a lock nor envs/own.txt names.
not_listed() {
    comm -23 <(find $venv/lib -path '*/site-packages/*.dist-info' -prune 2>/dev/null |
        sed 's:.*/::; s/-[^-]*\.dist-info$//' | normal) \
        <(cat envs/*.lock $venv/*.lock envs/own.txt 2>/dev/null | sed -n 's/^\([A-Za-z0-9._-]*\).*/\1/p' | cat - <(echo modomodo) | normal) |
        tr '\n' ' '
}

# Names of packages, each once, as the index compares them.
normal() { tr 'A-Z_.' 'a-z--' | sort -u; }

build() {
    local why builder base
    if [ -e $building ]; then
        builder=$(cat $building)
        if alive "$builder"; then
            die "process $builder is building $venv: wait for it (or remove $building if it is something else)"
        fi
        why="was left half built"
    elif [ -e $finished ]; then
        why="was built from other locks, with another Python or elsewhere"
    elif [ -n "$(ls -A $venv 2>/dev/null)" ]; then
        die "$venv was not made by make env: move it away, or remove it (make clean-env)"
    fi

    base=$(find_python)
    "$base" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$base cannot make virtual environments: install its venv package (Debian: apt install python3-venv)"
    need_disk 3 "the environment"

    if [ -n "$(ls -A $venv 2>/dev/null)" ]; then clear_venv "$why"; fi
    mkdir -p $venv # not if it is a link to an empty folder on a larger disk
    echo $$ >$building

    say "1/4 $venv with $("$base" -V) ($base)"
    "$base" -m venv $venv
    install --require-hashes -r envs/bootstrap.lock

    if pip install -q --dry-run --no-deps --no-index --require-hashes -r envs/torch.lock >/dev/null 2>&1; then
        say "2/4 torch: the CPU build on this machine"
        install --require-hashes --no-index -r envs/torch.lock
    else
        if [ "$(uname -s)" = Linux ]; then need_disk 10 "torch with CUDA"; fi
        say "2/4 torch: the package index's build (with CUDA on Linux: about 3 GB to download)"
        install --require-hashes -r envs/torch.lock
        install --require-hashes -r envs/cuda.lock
    fi

    say "3/4 everything else"
    install --require-hashes -r envs/main.lock
    install -e .

    say "4/4 checks"
    check_versions
    "$python" -c 'import lightgbm, modomodo, torch' 2>"$errors" ||
        die "$(tail -n 1 "$errors") (libgomp is your system's OpenMP library; Debian: apt install libgomp1)"

    rm "$errors"
    printf '%s\n' "$key" >$finished
    rm $building
    say "$venv is ready: $(du -sh $venv/ | cut -f 1) in $SECONDS s"
}

check_versions() {
    pip check >"$errors" 2>&1 ||
        die "packages do not fit together: $(head -n 1 "$errors"): fix envs/requirements.in or dev.in, then make lock"
}

# Only what dev.lock names is installed or removed, so jobs that run meanwhile are not disturbed. What is there
# already is kept, unless an installation that was killed may have left it incomplete.
add_dev() {
    local adder force=
    if [ -e $adding ]; then
        adder=$(cat $adding)
        if alive "$adder"; then
            die "process $adder is installing dev.lock: wait for it (or remove $adding if it is something else)"
        fi
        force=--force-reinstall
    fi
    say "dev.lock: tests, linters, benchmarks"
    echo $$ >$adding
    if [ -e $dev ]; then
        pip uninstall -q -y -r $dev 2>"$errors" || die "pip failed ($errors): make clean-env, then make env-dev"
        rm $dev
    fi
    install $force --require-hashes -r envs/dev.lock
    check_versions
    rm "$errors"
    cp envs/dev.lock $dev
    rm $adding
    say "$venv is ready: $(du -sh $venv/ | cut -f 1) in $SECONDS s"
}

# What envs/own.txt names, with what it needs; what the locks name stays as it is.
add_own() {
    if cmp -s envs/own.txt $own; then return; fi
    if [ ! -e envs/own.txt ]; then
        rm -f $own
        return
    fi
    say "envs/own.txt: packages of your own"
    pip list --format=freeze --exclude-editable >$venv/constraints.txt
    pip_or_die install $quiet -c $venv/constraints.txt -r envs/own.txt
    check_versions
    rm "$errors"
    cp envs/own.txt $own
}

key=$(key)
if [ "${1:-}" = --key ]; then
    printf '%s\n' "$key"
    exit
fi

if [ "${1:-}" = --check ]; then
    if [ -e $building ] || ! "$python" -V >/dev/null 2>&1; then
        die "there is no environment in $venv, or it is not finished: make env builds it"
    elif ! up_to_date || ! { [ ! -e envs/own.txt ] || cmp -s envs/own.txt $own; }; then
        say "$venv is used as it is, but it is out of date: make env builds it again" >&2
    fi
    exit
fi

if ! up_to_date; then
    build
elif [ "${1:-}" != --dev ]; then
    say "$venv is up to date ($version)"
fi
add_own

if [ "${1:-}" = --dev ]; then
    if cmp -s envs/dev.lock $dev; then
        say "$venv is up to date, with dev.lock"
    else
        add_dev
    fi
fi
