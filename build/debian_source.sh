#!/usr/bin/env bash
# Downloads the source package NAME of Debian trixie and unpacks its upstream archive (without Debian's patches) into
# FOLDER:  build/debian_source.sh NAME FOLDER
# Uses an apt configuration of its own: lists and downloads stay in build/out/apt, nothing of trixie is installed,
# signatures are checked with Debian's keyring. Exit code 2: this machine has no Debian mirror configured.
source "$(dirname "$0")/common.sh"
name=$1 folder=$2
apt=$OUT/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null && [ -r "$keyring" ] || exit 2

if [ ! -s "$apt/lists.done" ]; then
    # The mirror that this machine already uses; ORIGIN and LABEL are known once its index has been read.
    sites=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)')
    site=$(awk '$1 == "Debian" && $2 == "Debian" {print $3; exit}' <<<"$sites")
    [ -n "$site" ] || site=$(awk '{print $NF}' <<<"$sites" | grep -m1 '/debian/*$') || exit 2
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb-src [signed-by=$keyring] $site trixie main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
#clear APT::Update;
CONF
    apt-get -c "$apt/apt.conf" update --error-on=any
    date >"$apt/lists.done"
fi

mkdir -p "$apt/$name"
cd "$apt/$name"
apt-get -c "$apt/apt.conf" source --download-only "$name"
rm -rf "$folder" "$folder.part"
mkdir -p "$folder.part"
tar -xf ./*.orig.tar.* -C "$folder.part" --strip-components=1
mv "$folder.part" "$folder"
