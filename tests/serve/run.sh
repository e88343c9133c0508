#!/usr/bin/env bash
# The tests of serving, in an environment of their own: vLLM is 2.5 GB and pins its own torch and transformers.
# Usage: tests/serve/run.sh [pytest arguments]; VENV says where the environment is, .venv-vllm by default.
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
export HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 VLLM_CPU_OMP_THREADS_BIND=nobind
# Two processes: an engine of the first that is collected late takes the process groups of the second with it.
"$VENV/bin/python" -m pytest -o filterwarnings=default tests/serve "$@"
"$VENV/bin/python" -m pytest -o filterwarnings=default tests/evals/test_vllm_rows.py "$@"
# Families whose processor insists on torchvision, which the usual environment does without.
"$VENV/bin/python" -m pytest -o filterwarnings=default tests/models/test_vision_families.py
