#!/usr/bin/env bash
# Prints one process that uses the environment in folder $1, with its command; nothing where none does. Run by
# build.sh and vllm.sh before they delete one.
set -euo pipefail
folder=$(cd "$1" && pwd -P)
name=$(basename "$folder")

# Where there is no /proc (macOS), one whose command names it.
if [ ! -d /proc/self ]; then
    ps -Ao pid=,command= | grep -F "$folder/bin/" | grep -v grep | head -n 1 || true
    exit
fi

# Whether the process in folder $1 of /proc runs a program of it, or has loaded a library of its packages.
uses() {
    local words=()
    mapfile -d '' -t words 2>/dev/null <"$1/cmdline" || return 1
    case " ${words[*]:0:3} " in
    *" $folder/bin/"*) return 0 ;;
    *" $name/bin/"* | *" ./$name/bin/"*) [ "$(readlink "$1/cwd")" -ef "$(dirname "$folder")" ] && return 0 ;;
    " python"*) grep -qszF "$folder/bin:" "$1/environ" && return 0 ;; # found on the PATH
    esac
    grep -qsF "$folder/" "$1/maps"
}

for process in /proc/[0-9]*; do
    if uses "$process"; then
        printf '%s (%s)\n' "${process#/proc/}" "$(tr '\0' ' ' 2>/dev/null <"$process/cmdline" | cut -c 1-80)"
        exit
    fi
done
