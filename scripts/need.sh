#!/usr/bin/env bash
# Installs what a topic needs, only if it is missing, and says so. Topics: build, vulkan, python, schemathesis, peers, serving,
# wrk, fuzz.
# Debian or Ubuntu with apt; elsewhere it says what to install by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
for topic in "$@"; do
  case $topic in
    build) command -v cc >/dev/null || packages+=(gcc libc6-dev) ;;
    python|schemathesis|peers|serving)
      command -v python3 >/dev/null || packages+=(python3)
      python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
      [ "$topic" != serving ] || [ ! -x /usr/bin/python3 ] || /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null ||
        packages+=(python3-venv) ;;
    # A driver that computes on the CPU: what the tests of graphics cards run on.
    vulkan)
      ls /usr/share/vulkan/icd.d/lvp_icd.*json >/dev/null 2>&1 || packages+=(mesa-vulkan-drivers)
      ldconfig -p | grep -q libvulkan.so.1 || packages+=(libvulkan1) ;;
    # libFuzzer is C++.
    fuzz) command -v c++ >/dev/null || packages+=(g++) ;;
    wrk) command -v wrk >/dev/null || packages+=(wrk) ;;
    *) echo "need.sh: unknown topic $topic" >&2; exit 2 ;;
  esac
done

if ! command -v cargo >/dev/null; then
  echo "cargo is missing: install Rust (the version is in rust-toolchain.toml), then run this again" >&2
  exit 1
fi
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing with apt: ${packages[*]}"
  if ! command -v apt-get >/dev/null; then
    echo "there is no apt-get here: please install ${packages[*]} by hand" >&2
    exit 1
  fi
  root=(); [ "$(id -u)" = 0 ] || root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${root[@]}" apt-get -qq install -y "${packages[@]}" >/dev/null 2>&1 || {
    "${root[@]}" apt-get -qq update
    "${root[@]}" apt-get -qq install -y "${packages[@]}" >/dev/null
  }
fi

# The Python side is a virtual environment inside target/, so that nothing of the machine's own is touched.
for topic in "$@"; do
  if [ "$topic" = python ] && ! target/venv/bin/python -c 'import tritonclient.http, tritonclient.grpc, requests' 2>/dev/null; then
    echo "installing with pip into target/venv: tritonclient[http,grpc] requests"
    mkdir -p target
    python3 -m venv --clear target/venv
    target/venv/bin/pip install --quiet --disable-pip-version-check 'tritonclient[http,grpc]' requests
  fi
done

# What makes requests of the OpenAPI document. The version is fixed, so that a seed makes the same requests everywhere.
for topic in "$@"; do
  if [ "$topic" = schemathesis ] && ! target/venv-schemathesis/bin/schemathesis --version 2>/dev/null | grep -q '4\.32\.5$'; then
    echo "installing with pip into target/venv-schemathesis: schemathesis==4.32.5"
    mkdir -p target
    python3 -m venv --clear target/venv-schemathesis
    target/venv-schemathesis/bin/pip install --quiet --disable-pip-version-check schemathesis==4.32.5
  fi
done

# What the engine is measured against.
for topic in "$@"; do
  if [ "$topic" = peers ] && ! target/venv-peers/bin/python -c 'import numpy, scipy, reservoirpy, rclib, qulacs' 2>/dev/null; then
    echo "installing with pip into target/venv-peers: numpy scipy reservoirpy rclib qulacs"
    mkdir -p target
    python3 -m venv --clear target/venv-peers
    target/venv-peers/bin/pip install --quiet --disable-pip-version-check numpy scipy reservoirpy rclib qulacs
  fi
done

# What serving is measured against. The python backend of this tritonserver answers nothing with numpy 2. pytriton's stub has an
# interpreter of its own that must agree with the standard library found: Debian's does, some newer 3.11 does not.
for topic in "$@"; do
  [ "$topic" = serving ] || continue
  python=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || command -v python3)
  if [ "$(readlink -f target/venv-serving/bin/python)" != "$(readlink -f "$python")" ] ||
    ! target/venv-serving/bin/python -c 'import pytriton, mlserver, numpy; assert numpy.__version__ < "2"' 2>/dev/null; then
    echo "installing with pip into target/venv-serving: nvidia-pytriton mlserver (some minutes)"
    mkdir -p target
    "$python" -m venv --clear target/venv-serving
    target/venv-serving/bin/pip install --quiet --disable-pip-version-check nvidia-pytriton mlserver 'numpy<2' 'pandas<3'
  fi
done

# Fuzzing needs a nightly compiler, for the sanitizer.
for topic in "$@"; do
  if [ "$topic" = fuzz ]; then
    if ! cargo +nightly --version >/dev/null 2>&1; then
      command -v rustup >/dev/null || { echo "a nightly compiler is missing, and rustup to get it: install it by hand" >&2; exit 1; }
      echo "installing with rustup: the nightly toolchain"
      rustup toolchain install nightly --profile minimal
    fi
    if ! cargo fuzz --version >/dev/null 2>&1; then
      echo "installing with cargo: cargo-fuzz (a minute or two)"
      cargo install cargo-fuzz --locked --quiet
    fi
  fi
done
