#!/usr/bin/env bash
# Downloads a package of Debian trixie and unpacks it; nothing is installed.
#   build/debian_package.sh source NAME FOLDER          the upstream archive of the source package NAME, without Debian's patches
#   build/debian_package.sh files NAME PATH FOLDER      the folder PATH out of the package NAME
# Uses an apt configuration of its own: lists and downloads stay in build/out/apt. Signatures are checked with Debian's
# keyring. Exit code 2: this machine has no Debian mirror configured.
source "$(dirname "$0")/common.sh"
kind=$1 name=$2
case $kind in source) type=deb-src folder=$3 ;; files) type=deb folder=$4 ;; esac
apt=$OUT/apt/$type
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null && [ -r "$keyring" ] || exit 2

if [ ! -s "$apt/lists.done" ]; then
    # The mirror that this machine already uses; ORIGIN and LABEL are known once its index has been read.
    # shellcheck disable=SC2016  # apt-get expands them
    sites=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)')
    site=$(awk '$1 == "Debian" && $2 == "Debian" {print $3; exit}' <<<"$sites")
    [ -n "$site" ] || site=$(awk '{print $NF}' <<<"$sites" | grep -m1 '/debian/*$') || exit 2
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "$type [signed-by=$keyring] $site trixie main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
#clear APT::Update;
CONF
    apt-get -c "$apt/apt.conf" update --error-on=any
    date >"$apt/lists.done"
fi

rm -rf "${apt:?}/${name:?}" "$folder" "$folder.part"
mkdir -p "$apt/$name" "$folder.part"
cd "$apt/$name"
if [ "$kind" = source ]; then
    apt-get -c "$apt/apt.conf" source --download-only --tar-only "$name"
    tar -xf ./*.orig.tar.* -C "$folder.part" --no-same-owner --strip-components=1
    mv "$folder.part" "$folder"
else
    apt-get -c "$apt/apt.conf" download "$name"
    dpkg-deb -x ./*.deb "$folder.part"
    mv "$folder.part/$3" "$folder"
    rm -r "$folder.part"
fi
