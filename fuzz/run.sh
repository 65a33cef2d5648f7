#!/usr/bin/env bash
# Fuzzes each target for SECONDS from the committed corpus, two at a time, and the canary until it is found.
#   fuzz/run.sh SECONDS [TARGET...]      new inputs go to target/fuzz/corpus, findings to fuzz/artifacts
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?how many seconds for each target}
shift
# The toolchain is stable; sanitizers need its unstable flags.
export RUSTC_BOOTSTRAP=1
command -v cargo-fuzz >/dev/null || cargo install -q --locked cargo-fuzz
cargo fuzz build --fuzz-dir fuzz --target-dir target/fuzz --features libfuzzer
bin=target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release
if [ $# -gt 0 ]; then targets=("$@"); else
  mapfile -t targets < <(basename -s .rs -a fuzz/fuzz_targets/*.rs | grep -vx canary)
fi

one() {
  local name=$1 fresh=target/fuzz/corpus/$1 found=fuzz/artifacts/$1/ log=target/fuzz/$1.txt
  mkdir -p "$fresh" "$found"
  if "$bin/$name" "$fresh" "fuzz/corpus/$name" -artifact_prefix="$found" -max_total_time="$seconds" \
      -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 -use_value_profile=1 >"$log" 2>&1; then
    printf 'fuzz: %-20s %s\n' "$name" "$(grep -oE '^Done [0-9]+ runs in [0-9]+' "$log")"
  else
    tail -n 40 "$log"
    printf 'fuzz: %-20s FAILED, see %s\n' "$name" "$found"
    return 1
  fi
}
export -f one
export bin seconds
failed=0
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'one {}' || failed=1

# What cannot find a planted bug finds none: the canary has to fail.
canary=skipped
if [ $# -eq 0 ]; then
  mkdir -p target/fuzz/corpus/canary target/fuzz/canary
  if "$bin/canary" target/fuzz/corpus/canary fuzz/corpus/canary -artifact_prefix=target/fuzz/canary/ \
      -max_total_time=120 -use_value_profile=1 >target/fuzz/canary.txt 2>&1; then
    canary='NOT found'; failed=1
  else
    canary=found
  fi
fi
echo "fuzz: ${#targets[@]} targets, $seconds s each, $failed failed, canary $canary"
exit $failed
