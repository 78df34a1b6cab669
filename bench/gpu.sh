#!/usr/bin/env bash
# Builds weightkin with CUDA, tests it on the GPUs of this machine, measures it, and prints a short table last.
#
#   bench/gpu.sh [--output FOLDER] [--venv FOLDER] [--budget SECONDS] [--size GB] [--data FOLDER] [--without-device]
#
# It needs Python 3.11 with the packages of the extra `gpu`, a C++ compiler, CMake and nvcc; no network, unless --venv names
# a new environment to be made. Nothing stops it: what failed is said at the end, and the exit status is then 1.
# --without-device tries the script out on a machine without a GPU: the same steps, tiny sizes, Triton's interpreter.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

output=bench/results venv='' budget=460 size='' data='' device=cuda
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=${2:?} && shift ;;
    --venv) venv=${2:?} && shift ;;
    --budget) budget=${2:?} && shift ;;
    --size) size=${2:?} && shift ;;
    --data) data=${2:?} && shift ;;
    --without-device) device=interpreter ;;
    -h | --help) usage && exit 0 ;;
    *) echo "unknown option $1" >&2 && usage >&2 && exit 2 ;;
  esac
  shift
done

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$output" && output=$(cd "$output" && pwd) || exit 1
failed=() skipped=()
left() { echo $((budget - SECONDS)); }

# step NAME SECONDS COMMAND...: runs it for at most so long, and remembers whether it failed.
step() {
  local name=$1 limit=$2 status=0 start=$SECONDS
  shift 2
  if [ "$(left)" -lt 5 ]; then skipped+=("$name: no time left") && return 1; fi
  if [ "$limit" -gt "$(left)" ]; then limit=$(left); fi
  printf '\n== %s (at most %d s)\n' "$name" "$limit"
  timeout --kill-after=5 "$limit" "$@" || status=$?
  printf '== %s: status %d after %d s\n' "$name" "$status" $((SECONDS - start))
  if [ "$status" -ne 0 ]; then failed+=("$name: status $status$([ "$status" -eq 124 ] && echo ', out of time')"); fi
  return "$status"
}

python=$(command -v python3) || { echo "python3 is not installed" >&2 && exit 1; }
if [ -n "$venv" ]; then
  if [ ! -d "$venv" ]; then
    "$python" -m venv "$venv" && "$venv/bin/python" -m pip install --quiet scikit-build-core pybind11 cmake ninja \
      numpy scipy pyarrow safetensors ml_dtypes click rich torch triton pytest hypothesis lapx || exit 1
  fi
  python=$(cd "$venv" && pwd)/bin/python
fi
has() { "$python" -c 'import importlib.util as u, sys; sys.exit(any(u.find_spec(n) is None for n in sys.argv[1:]))' "$@"; }

cuda=ON
if [ "$device" = interpreter ]; then
  cuda=AUTO
  export TRITON_INTERPRET=1
fi

# With pip where it has what it needs; else by CMake, and a folder of links that looks like an installed package.
by_pip() {
  "$python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index --upgrade \
    --target "$work/site" --config-settings=cmake.define.WEIGHTKIN_CUDA="$cuda" .
}
by_cmake() {
  rm -rf "$work/site" && mkdir -p "$work/site/weightkin" &&
    cmake -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DWEIGHTKIN_CUDA="$cuda" -DPython_EXECUTABLE="$python" \
      -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" &&
    cmake --build "$work/build" --parallel &&
    ln -s "$PWD"/python/weightkin/* "$PWD/bench" "$PWD/kernels" "$work/site/weightkin/" &&
    ln -sf "$work"/build/_c*.so "$work/site/weightkin/"
}
export -f by_pip by_cmake
export python work cuda
built=1
if has pip scikit_build_core; then
  step "build by pip" 240 bash -c by_pip || built=0
else
  built=0
fi
if [ "$built" -eq 0 ] && step "build by CMake" 240 bash -c by_cmake; then built=1; fi
export PYTHONPATH=$work/site PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
[ "$built" -eq 1 ] && step "environment" 30 "$python" -m weightkin env

# The tests that use a device, whole files; those that need a package which is not here skip themselves.
tests=(tests/test_kernels_*.py)
for name in ring cuda assign_cuda devices torch_device search_device compute; do
  for file in tests/test_"$name"*.py; do [ -e "$file" ] && tests+=("$file"); done
done
quick=(-q -p no:cacheprovider -o filterwarnings=default)
if ! has pytest hypothesis; then
  skipped+=("tests: pytest and hypothesis are not installed")
elif [ "$device" = interpreter ]; then
  step "tests" 120 "$python" -m pytest "${quick[@]}" -x tests/test_kernels_gram.py -k "rows and not many"
else
  step "tests" 170 "$python" -m pytest "${quick[@]}" "${tests[@]}"
fi

slug=$(
  "$python" -c 'import re, torch
name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "interpreter"
print(re.sub("[^a-z0-9]+", "-", name.lower()).strip("-"))'
) || slug=device
json=$output/$slug.json
bench=("$python" -m weightkin.bench --device "$device" --output "$json" --rounds 5)
[ -n "$data" ] && bench+=(--data "$data")
[ -n "$size" ] && bench+=(--size "$size")
[ "$device" = interpreter ] && bench+=(--data "$work/data" --rounds 2)
rm -f "$json"
groups=('gram/*' '[dcl]*[eg]*/[pr]*' 'cross_gram/*' 'probe/*' 'assign/*' 'ring/*' 'compare/*' 'experts/*')
for group in "${groups[@]}"; do
  step "bench $group" 100 "${bench[@]}" --keep --case "$group"
done

# The same numbers from one device, from all of them, and from the processor.
step "models to compare" 60 "$python" -m weightkin.bench.generate "$work/a" --model glm-4.5-air --layers 2 --tiny &&
  step "their copy" 60 "$python" -m weightkin.bench.generate "$work/b" --copy-of "$work/a"
