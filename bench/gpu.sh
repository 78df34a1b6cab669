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
if ! command -v nvcc >/dev/null && [ -x /usr/local/cuda/bin/nvcc ]; then export CUDACXX=/usr/local/cuda/bin/nvcc; fi
if [ "$device" = interpreter ]; then
  cuda=OFF # seconds count, and there is nothing to run it on
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
if [ "$built" -eq 1 ]; then step "environment" 30 "$python" -m weightkin env; fi

# The tests that use a device, whole files; what needs a package that is not here skips itself.
tests=()
mapfile -t using < <(grep -lE '_cuda\.|torch_device|triton_cases' tests/test_*.py)
for file in "${using[@]}"; do
  case $file in
    *test_cuda_build.py | *test_kernels_compiled.py) ;; # of the build alone
    *) tests+=("$file") ;;
  esac
done
pytest=("$python" -m pytest -q -p no:cacheprovider -o filterwarnings=default)
parallel=()
if has xdist; then parallel=(-n 4); fi # most of the time goes into compiling kernels
if [ "$built" -eq 0 ]; then
  skipped+=("everything after the build")
elif ! has pytest hypothesis; then
  skipped+=("tests: pytest and hypothesis are not installed")
elif [ "$device" = interpreter ]; then
  step "tests" 120 "${pytest[@]}" tests/test_kernels_gram.py -k test_rows
else
  step "tests" 150 "${pytest[@]}" ${parallel[@]+"${parallel[@]}"} "${tests[@]}"
fi

slug=$("$python" -c 'import re, torch
name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "interpreter"
print(re.sub("[^a-z0-9]+", "-", name.lower()).strip("-"))') || slug=device
json=$output/$slug.json
rm -f "$json"
bench=("$python" -m weightkin.bench --device "$device" --output "$json" --keep --data "${data:-$work/data}")
if [ -n "$size" ]; then bench+=(--size "$size"); fi
if [ "$device" = interpreter ]; then bench+=(--rounds 1); fi
measure() {  # NAME SECONDS GLOB...: one process for each group, so that one that hangs costs no other its numbers
  local name=$1 limit=$2 cases=() && shift 2
  for glob in "$@"; do cases+=(--case "$glob"); done
  step "bench: $name" "$limit" "${bench[@]}" "${cases[@]}"
}
agree=("$python" -m weightkin.bench.device_agreement --device "${device/interpreter/cpu}")
if [ "$built" -eq 1 ]; then
  measure "one pass" 100 'gram/*' 'difference/*' 'census/*' 'lagged/*' 'sweep/*'
  measure "products" 60 'cross_gram/*' 'probe/*'
  measure "assignment" 60 'assign/*'
  measure "streams" 90 'ring/*' 'compare/[tw]*'
  measure "experts" 80 'experts/*'
  measure "cold files" 80 'compare/cold'
  step "devices agree with the processor and each other" 60 "${agree[@]}"
  if [ -e "$json" ]; then step "prediction" 40 "$python" -m weightkin.bench.predict "$json" --storage 7; fi
fi

# Last, because it is slow and says nothing of speed: small cases under the checkers of memory and of races.
sanitizer=$(command -v compute-sanitizer || echo "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer")
check() {  # TOOL TEST...
  local tool=$1 && shift
  step "compute-sanitizer $tool" 60 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool "$tool" --error-exitcode 9 \
    "${pytest[@]}" -x "$@"
}
if [ "$device" = interpreter ] || [ "$built" -eq 0 ]; then
  skipped+=("compute-sanitizer: no device")
elif ! "$sanitizer" "$python" -c 'import torch; torch.ones(1, device="cuda").item()' >"$work/sanitizer" 2>&1; then
  skipped+=("compute-sanitizer: $(tail -n 1 "$work/sanitizer")")
else
  check memcheck tests/test_kernels_gram.py tests/test_kernels_difference.py -k block_ends
  check memcheck tests/test_ring_ends.py tests/test_assign_team.py -k test_device
  check racecheck tests/test_assign_team.py -k test_device
fi

printf '\n'
if [ -e "$json" ]; then "$python" -m weightkin.bench.short "$json" && echo "stored in $json"; fi
for one in ${skipped[@]+"${skipped[@]}"}; do echo "skipped: $one"; done
for one in ${failed[@]+"${failed[@]}"}; do echo "FAILED: $one"; done
echo "$SECONDS s; ${#failed[@]} failed, ${#skipped[@]} skipped"
[ "${#failed[@]}" -eq 0 ]
