#!/usr/bin/env bash
# Fetches dumps of real machines' PCI out of Debian's source package pciutils. See --help.
set -euo pipefail

usage() {
    cat <<'END'
usage: fetch-debian-lspci.sh [FOLDER]

Writes the dumps of lspci -xxx and -xxxx that pciutils is tested with (some 35, of machines and of single functions) to
FOLDER (default: debian/lspci beside this script, which git ignores: their licence is the GPL, this project's is not).

Needs apt-get, tar, Debian's archive keys and a network; no root, nothing is installed. Package lists go to a private
temporary folder. The download is checked by apt's signatures.
END
}

die() {
    printf 'fetch-debian-lspci: %s\n' "$*" >&2
    exit 1
}

[[ ${1-} == -h || ${1-} == --help ]] && { usage; exit 0; }
(($# <= 1)) || die "give one folder (see --help)"
folder=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/debian/lspci}
key=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -r $key ]] || die "Debian's archive keys are missing: install debian-archive-keyring"
mkdir -p -- "$folder" 2>/dev/null && [[ -w $folder ]] || die "cannot write to $folder"
folder=$(cd -- "$folder" && pwd)

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,source}
: >"$work/status"
cat >"$work/apt.conf" <<END
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
END
fetch() { # a suite
    echo "deb-src [signed-by=$key] http://deb.debian.org/debian $1 main" >"$work/sources"
    rm -f "$work"/source/*
    apt-get -qq -c "$work/apt.conf" update &&
        (cd "$work/source" && apt-get -qq -c "$work/apt.conf" --download-only source pciutils >/dev/null)
}
fetch stable 2>"$work/log" || fetch oldstable 2>>"$work/log" ||
    die "the source package pciutils could not be fetched; apt says: $(tail -n 1 "$work/log")"
tar -x -f "$work"/source/pciutils_*.orig.tar.[gx]z -C "$folder" --strip-components=2 --no-same-owner --wildcards '*/tests/*'
echo "wrote $(find "$folder" -type f | wc -l) dumps to $folder"
