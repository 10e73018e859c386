#!/usr/bin/env bash
# Installs what a topic needs, only if it is missing, and says so. Topics: build, vulkan, python, schemathesis, peers, serving,
# wrk, fuzz, consul, haproxy, postgres, sbom, deny, s3.
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
    # Debian's is the oldest that has to take our configuration. openssl makes the certificate that it is tried with.
    haproxy)
      command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || packages+=(haproxy)
      command -v openssl >/dev/null || packages+=(openssl) ;;
    # The server's programs are not on the usual path.
    postgres) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || packages+=(postgresql) ;;
    sbom)
      command -v python3 >/dev/null || packages+=(python3)
      python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv) ;;
    # Put into the target folder below, or installed by cargo.
    consul|deny|s3) ;;
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

# What lists the parts of the binary, and what checks the list.
for topic in "$@"; do
  if [ "$topic" = sbom ]; then
    if ! cargo cyclonedx --version >/dev/null 2>&1; then
      echo "installing with cargo: cargo-cyclonedx (a minute or two)"
      cargo install cargo-cyclonedx --version '^0.5.9' --locked --debug --quiet
    fi
    if ! target/venv-sbom/bin/python -c 'import cyclonedx.validation.json, license_expression, jsonschema' 2>/dev/null; then
      echo "installing with pip into target/venv-sbom: cyclonedx-python-lib[json-validation]"
      mkdir -p target
      python3 -m venv --clear target/venv-sbom
      target/venv-sbom/bin/pip install --quiet --disable-pip-version-check 'cyclonedx-python-lib[json-validation]>=11,<12'
    fi
  fi
done

# A server of S3's protocol that keeps objects as files. It goes into the target folder, where nothing else has to be on the search path.
for topic in "$@"; do
  s3=${CARGO_TARGET_DIR:-target}/tools
  if [ "$topic" = s3 ] && ! "$s3/bin/s3s-fs" --version >/dev/null 2>&1 && ! s3s-fs --version >/dev/null 2>&1; then
    echo "installing with cargo into $s3/bin: s3s-fs (two minutes)"
    CARGO_TARGET_DIR=$s3/build cargo install s3s-fs --version 0.14.1 --features binary --locked --debug --quiet --root "$s3"
    rm -rf "$s3/build"
  fi
done

# Unoptimised, since it runs for a second and would be compiled for many minutes.
for topic in "$@"; do
  if [ "$topic" = deny ] && ! cargo deny --version >/dev/null 2>&1; then
    echo "installing with cargo: cargo-deny (some minutes)"
    cargo install cargo-deny --version '^0.20' --locked --debug --quiet
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

# Consul left Debian after release 11 (bullseye), whose package is one static program. It is unpacked into the target folder, through
# lists of packages of its own, so that the machine's sources and packages stay as they are.
for topic in "$@"; do
  consul=${CARGO_TARGET_DIR:-target}/tools/consul
  if [ "$topic" = consul ] && ! "$consul" version >/dev/null 2>&1 && ! consul version >/dev/null 2>&1; then
    command -v apt-get >/dev/null || { echo "there is no apt-get here: please put consul (1.8 or newer) on the search path" >&2; exit 1; }
    echo "installing with apt into ${consul%/*}: consul of Debian 11"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    mirror() { apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null | awk '$1 == "Debian" { print $2; exit }'; }
    from=$(mirror)
    if [ -z "$from" ]; then
      root=(); [ "$(id -u)" = 0 ] || root=(sudo)
      "${root[@]}" apt-get -qq update
      from=$(mirror)
    fi
    [ -n "$from" ] || { echo "apt knows no mirror of Debian here: please put consul (1.8 or newer) on the search path" >&2; exit 1; }
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from bullseye main" >"$work/sources.list"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "${consul%/*}"
    apt=(apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
      -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)")
    "${apt[@]}" update
    (cd "$work" && "${apt[@]}" download consul)
    dpkg -x "$work"/consul_*.deb "$work/unpacked"
    install -m 755 "$work/unpacked/usr/bin/consul" "$consul"
  fi
done
