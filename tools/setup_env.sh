#!/usr/bin/env bash
# Creates or updates the environment that `make` uses; does nothing when it is up to date.
#   [PYTHON=...] [VENV=...] tools/setup_env.sh [upstream]
# `upstream` installs the original OpenMMLab distributions instead of the maintained onedl-* ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FLAVOUR=${1:-onedl}
VENV=${VENV:-.venv}
PY=$VENV/bin/python
LOGS=$VENV/logs
STAMP=$VENV/.multissl_mm_ready
if [ "$FLAVOUR" = upstream ]; then
    PINS=requirements/upstream.txt MM=requirements/upstream.txt BUILD=requirements/upstream.txt
else
    PINS=requirements/pins.txt MM=requirements/mminstall.txt BUILD=requirements/build.txt
fi

# The environment is up to date when nothing that it was made from has changed.
fingerprint() {
    { cat requirements/*.txt setup.py tools/setup_env.sh; echo "$FLAVOUR $PWD"; "$PY" -VV; } 2>&1 |
        cksum
}
if [ -x "$PY" ] && [ -f "$STAMP" ] && [ "$(fingerprint)" = "$(cat "$STAMP")" ]; then
    echo "[setup] $VENV is ready"
    exit 0
fi

die() { echo "error: $*" >&2; exit 1; }

# logged NAME COMMAND...: output goes to a log file; a sign of life every 30 seconds.
logged() {
    local log=$LOGS/$1.log begin=$SECONDS pid line
    shift
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    trap 'kill $pid 2>/dev/null; exit 130' INT TERM
    while kill -0 $pid 2>/dev/null; do
        sleep 1
        if (( (SECONDS - begin) % 30 == 29 )); then
            # ninja counts its files as [12/78]
            line=$(grep -oE '^ *\[[0-9]+/[0-9]+\]' "$log" | tail -n 1 | tr -d ' ' || true)
            echo "      ... $((SECONDS - begin + 1)) s ${line:+, compiled $line}"
            sleep 1
        fi
    done
    trap - INT TERM
    if ! wait $pid; then
        tail -n 25 "$log" >&2
        die "this step failed; its whole output is in $log. After mending the cause, run the" \
            "same command again: it goes on from here"
    fi
    echo "      done in $((SECONDS - begin)) s"
}
pip_install() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$PY" -m pip install --progress-bar off --no-input "$@"
}
# The lines of a requirements file whose distribution matches a pattern.
pick() { grep -E "^($2)([=<>!~ ]|$)" "$1" | sed 's/ *#.*//; s/ //g'; }
installed() { "$PY" -c "from importlib.metadata import version as v; print(v('$1'))" 2>/dev/null; }

echo "[1/5] environment $VENV ($FLAVOUR packages)"
if ! "$PY" -m pip --version >/dev/null 2>&1; then
    if [ -z "${PYTHON:-}" ]; then
        candidates='python3.11 python3.12 python3.10 python3.13 python3 python'
        # The original packages know no newer Python.
        [ "$FLAVOUR" = upstream ] && candidates='python3.11 python3.10'
    fi
    for python in ${PYTHON:-$candidates}; do
        "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && break
        python=
    done
    [ -n "$python" ] || die "no Python >= 3.10 among: ${PYTHON:-$candidates}; name one with PYTHON="
    "$python" -m venv "$VENV" ||
        die "$python cannot create an environment (Debian and Ubuntu: apt install python3-venv)"
fi
command -v c++ >/dev/null || command -v g++ >/dev/null ||
    die "no C++ compiler: mmcv's operators need one (Debian and Ubuntu: apt install g++)"
"$PY" -c 'import os, sysconfig as s, sys
sys.exit(not os.path.isfile(os.path.join(s.get_paths()["include"], "Python.h")))' ||
    die "the headers of $("$PY" -V) are missing (Debian and Ubuntu: apt install python3-dev)"
mkdir -p "$LOGS"
echo "      $("$PY" -V), logs in $LOGS"

echo "[2/5] torch and build tools, about a minute"
torch_before=$(installed torch || true)
mapfile -t wanted < <(pick "$BUILD" 'torch|torchvision|torchaudio|setuptools|wheel|ninja|psutil|numpy')
logged torch pip_install -c "$PINS" "${wanted[@]}"

mmcv=$(pick "$MM" 'onedl-mmcv|mmcv')
# Loaded by path: importing mmcv needs packages that come in step 4.
if [ "$torch_before" = "$(installed torch)" ] && [ "$(installed "${mmcv%%==*}")" = "${mmcv##*==}" ] &&
    "$PY" -c 'import ctypes, glob, importlib.util, os, torch
folder = importlib.util.find_spec("mmcv").submodule_search_locations[0]
ctypes.CDLL(glob.glob(f"{folder}/_ext*.so")[0], mode=os.RTLD_NOW)' 2>/dev/null; then
    echo "[3/5] mmcv's operators are compiled already"
else
    # A compiler needs up to 2 GB for a file that includes torch's headers.
    jobs=$("$PY" -c 'import os, psutil
n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
print(max(1, min(n, psutil.virtual_memory().available >> 31)))')
    echo "[3/5] compiling mmcv's operators (78 files, ${MAX_JOBS:-$jobs} at a time;" \
        "about 7 minutes on two cores)"
    # With a GPU but no CUDA compiler of torch's version only the CPU operators can be compiled.
    hide=()
    if ! "$PY" - 2>/dev/null <<'EOF'
import re, subprocess, sys
import torch
from torch.utils.cpp_extension import CUDA_HOME
if torch.cuda.is_available() and not torch.version.hip:
    try:
        text = subprocess.run([f'{CUDA_HOME}/bin/nvcc', '--version'], capture_output=True,
                              text=True).stdout
        major = re.search(r'release (\d+)\.', text).group(1)
        sys.exit(major != torch.version.cuda.split('.')[0])
    except (OSError, AttributeError):
        sys.exit(1)
EOF
    then
        echo "      note: a GPU, but no CUDA compiler of torch's version: mmcv gets its CPU operators"
        echo "      only. Pretraining uses the GPU all the same, mmdet's detectors cannot."
        hide=(CUDA_VISIBLE_DEVICES=)
    fi
    # It must be compiled against the torch installed above: neither isolated nor from a cache.
    # Debug information doubles the time and is of no use here.
    logged mmcv env "${hide[@]}" MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-$jobs}" \
        CFLAGS="${CFLAGS:-} -g0" CXXFLAGS="${CXXFLAGS:-} -g0" PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$PY" -m pip install -v --progress-bar off --no-input --no-build-isolation \
        --no-cache-dir --force-reinstall --no-deps -c "$PINS" "$mmcv"
fi

echo "[4/5] mmengine, mmpretrain, mmdet and the other requirements, about a minute"
logged packages pip_install --no-build-isolation -c "$PINS" "$(pick "$BUILD" torch)" \
    -r "$MM" -r requirements/runtime.txt -r requirements/video.txt -r requirements/simulation.txt \
    -r requirements/tests.txt -r requirements/docs.txt
# For its configs, which the tests train with; it is not imported. Its dependencies would replace ours.
logged mmselfsup pip_install --no-deps "$(pick requirements/mmselfsup.txt mmselfsup)"
# On servers without libGL only the headless build of OpenCV can be imported.
if ! "$PY" -c 'import cv2' 2>/dev/null; then
    cv=$(pick "$PINS" opencv-python-headless)
    logged opencv pip_install --force-reinstall --no-deps "${cv:-opencv-python-headless}"
fi

echo "[5/5] this package"
logged package pip_install --no-build-isolation --no-deps -e .
"$PY" -c 'import multissl_mm, mmcv.ops, mmpretrain, mmdet' 2>"$LOGS/import.log" || {
    tail -n 5 "$LOGS/import.log" >&2
    die "the packages are installed but cannot be imported; remove $VENV and try again"
}
fingerprint >"$STAMP"
echo "[setup] $VENV is ready after $((SECONDS / 60)) min $((SECONDS % 60)) s"
