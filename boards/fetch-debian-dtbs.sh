#!/usr/bin/env bash
# Fetches the device trees of real boards out of Debian's arm64 kernel package. See --help.
set -euo pipefail

usage() {
    cat <<'END'
usage: fetch-debian-dtbs.sh [--suite NAME] [FOLDER]

Writes the .dtb files of Debian's newest arm64 kernel package to FOLDER (default: debian/ beside
this script), one subfolder per vendor: FOLDER/hisilicon/hip07-d05.dtb.

Needs apt-get, apt-cache, dpkg-deb and a network; no root, no arm64 machine, nothing is installed.
Package lists go to a private temporary folder, so that the machine's own apt state stays as it is.
The package comes from the machine's own apt sources, or, where these have none (Ubuntu, say),
from the suite "stable" of deb.debian.org. Every download is checked by apt's signatures.

  --suite NAME   skip the machine's sources and take suite NAME (bookworm, trixie, sid) of deb.debian.org
  --help         this text

A second run fetches again only when there is a newer package or a file is missing; it replaces
the trees that the first run wrote and touches nothing else in FOLDER.
END
}

die() {
    printf 'fetch-debian-dtbs: %s\n' "$*" >&2
    exit 1
}

step() {
    printf '==> %s\n' "$*"
}

suite=
folder=
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --suite)
            [[ ${2-} =~ ^[a-z][a-z0-9-]*$ ]] || die "--suite needs the name of a Debian suite"
            suite=$2
            shift
            ;;
        -*) die "unknown option $1 (see --help)" ;;
        *) [[ -n $1 && -z $folder ]] || die "give one folder (see --help)"; folder=$1 ;;
    esac
    shift
done
: "${folder:=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/debian}"

for tool in apt-get apt-cache dpkg-deb tar; do
    command -v "$tool" >/dev/null || die "$tool not found: this needs Debian, Ubuntu or a relative of theirs"
done
mkdir -p -- "$folder" 2>/dev/null && [[ -w $folder ]] || die "cannot write to $folder"
folder=$(cd -- "$folder" && pwd)
manifest=$folder/.from-package # first line: package and version; then the trees, one path per line

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,sources,keyring}
: >"$work/state/status" # no package counts as installed
cat >"$work/apt.conf" <<END
Dir::State "$work/state";
Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
APT::Architecture "arm64";
#clear APT::Architectures;
APT::Architectures { "arm64"; };
APT::Sandbox::User "root"; # apt's own user could not write here
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END

# apt-get or apt-cache with the private state; what apt says goes to the log.
apt() {
    local tool=$1
    shift
    "$tool" -q -c "$work/apt.conf" "$@" 2>>"$work/log" </dev/null
}

# The last error or warning of apt, in one line.
complaint() {
    grep -E '^[EW]: ' "$work/log" | tail -n 2 | head -n 1 || echo nothing
}

# Newest linux-image-<version>-arm64 by name, never -rt-, -cloud- or -dbg; signed where both exist.
newest_kernel() {
    local names newest
    names=$(apt apt-cache pkgnames linux-image- |
        grep -E '^linux-image-[0-9].*-arm64(-unsigned)?$' |
        grep -Ev -- '-(rt|cloud)-') || return 1
    newest=$(sed 's/-unsigned$//' <<<"$names" | sort -V | tail -n 1)
    grep -qxF "$newest" <<<"$names" || newest+=-unsigned
    echo "$newest"
}

use_debian() {
    local key=
    for key in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        [[ ! -r $key ]] || break
    done
    if [[ ! -r $key ]]; then
        step "fetching Debian's archive keys (package debian-archive-keyring of this machine's sources)"
        (cd "$work/keyring" && apt-get -q download debian-archive-keyring >>"$work/log" 2>&1 </dev/null) &&
            dpkg-deb -x "$work"/keyring/*.deb "$work/keyring" ||
            die "Debian's archive keys are missing: install debian-archive-keyring"
        key=$(find "$work/keyring" -name 'debian-archive-keyring.[gp]*' -type f | head -n 1)
        [[ -n $key ]] || die "no keyring in the package debian-archive-keyring"
    fi
    echo "deb [arch=arm64 signed-by=$key] http://deb.debian.org/debian $1 main" >"$work/sources/debian.list"
    cat >>"$work/apt.conf" <<END
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources";
END
    step "reading the arm64 package list of Debian $1 from deb.debian.org"
    apt apt-get update >>"$work/log" || true
}

package=
if [[ -z $suite ]]; then
    step "reading the arm64 package lists of this machine's apt sources (into a temporary folder)"
    apt apt-get update >>"$work/log" || true # a source without arm64 is no error; none at all shows below
    package=$(newest_kernel) || step "no linux-image-*-arm64 there"
fi
if [[ -z $package ]]; then
    use_debian "${suite:-stable}"
    package=$(newest_kernel) || {
        if compgen -G "$work/state/lists/*_Packages*" >/dev/null; then
            die "no linux-image-*-arm64 in Debian ${suite:-stable}"
        fi
        die "no package list could be fetched: no network, or no such suite; apt says: $(complaint)"
    }
fi
version=$(apt apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p' | head -n 1)
step "newest kernel package: $package $version"

# True if the folder holds every tree of this package already.
up_to_date() {
    local tree
    [[ -r $manifest && $(head -n 1 "$manifest") == "$package $version" ]] || return 1
    while IFS= read -r tree; do
        [[ -s $folder/$tree ]] || return 1
    done < <(tail -n +2 "$manifest")
}

if up_to_date; then
    step "$folder has its $(($(wc -l <"$manifest") - 1)) trees already; 0 written"
    exit 0
fi

step "downloading it (some 30 to 110 MB)"
(cd "$work" && apt apt-get download "$package" >>"$work/log") ||
    die "download of $package failed; apt says: $(complaint)"

step "unpacking the .dtb files only"
mkdir "$work/trees"
dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb |
    tar -x -C "$work/trees" --strip-components=4 --no-same-owner --wildcards \
        './usr/lib/linux-image-*/*.dtb' 2>>"$work/log" ||
    die "$package holds no .dtb files (or the disk is full)"
(cd "$work/trees" && find . -name '*.dtb' -type f | sed 's,^\./,,' | LC_ALL=C sort) >"$work/list"

if [[ -r $manifest ]]; then # the trees of an older package
    while IFS= read -r tree; do
        [[ $tree == /* || $tree == *..* ]] || rm -f -- "$folder/$tree"
    done < <(tail -n +2 "$manifest")
    rm -f -- "$manifest"
fi
cp -R -- "$work/trees/." "$folder/" || die "cannot write to $folder"
{ echo "$package $version"; cat "$work/list"; } >"$manifest"
step "wrote $(wc -l <"$work/list") trees to $folder"
