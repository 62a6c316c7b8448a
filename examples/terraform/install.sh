#!/bin/sh
# Installs the provider where Terraform and OpenTofu look for providers by themselves:
#
#   install.sh [BINARY [MIRROR]]
#
# BINARY is what `cargo build --release` has made, MIRROR the folder to install into.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=${1:-$here/../../target/release/rolling}
mirror=${2:-$HOME/.terraform.d/plugins}

if [ ! -x "$binary" ]; then
    echo "install.sh: there is no program $binary; make it with: cargo build --release" >&2
    exit 1
fi
version=$("$binary" --version | awk '{ print $2 }')
if [ -z "$version" ]; then
    echo "install.sh: $binary does not tell its version" >&2
    exit 1
fi
case $(uname -s) in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) echo "install.sh: no name for the system $(uname -s) is known here" >&2 && exit 1 ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) echo "install.sh: no name for the machine $(uname -m) is known here" >&2 && exit 1 ;;
esac

for registry in registry.terraform.io registry.opentofu.org; do
    folder=$mirror/$registry/rolling/rolling/$version/${os}_$arch
    mkdir -p "$folder"
    # A provider that runs keeps the file it was started from.
    new=$(mktemp "$folder/.install.XXXXXX")
    cp "$binary" "$new"
    chmod 755 "$new"
    mv -f "$new" "$folder/terraform-provider-rolling_v$version"
    echo "installed $folder/terraform-provider-rolling_v$version"
done
if [ -z "${2:-}" ]; then
    echo "Terraform and OpenTofu find it there: source = \"rolling/rolling\", version = \"$version\""
else
    echo "Name the folder in the CLI configuration:"
    echo "  provider_installation {"
    echo "    filesystem_mirror {"
    echo "      path    = \"$mirror\""
    echo "      include = [\"rolling/rolling\"]"
    echo "    }"
    echo "    direct {"
    echo "      exclude = [\"rolling/rolling\"]"
    echo "    }"
    echo "  }"
fi
echo "Where Terraform knows another build of $version, it refuses this one by its checksum:"
echo "docs/terraform.md, \"Building and installing\", tells what to do."
