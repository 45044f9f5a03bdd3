# Brings a Debian machine to the point where Strongroom builds: sourced by up, test and bench.
# Nothing here relies on what somebody did by hand, and nothing that is already there is installed again.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
state="$root/.strongroom"
log="$state/setup.log"
node_floor=20.19.0
node_pin=22.23.3
npm_pin=11.19.1
mkdir -p "$state"

say() { printf '%s\n' "$*" >&2; }
die() { say "strongroom: $1"; [ -z "${2:-}" ] || say "hint: $2"; exit 1; }

# run LABEL COMMAND…: one line for a long step; its output goes to the log and is shown if it fails.
run() {
  local label=$1 start=$SECONDS
  shift
  printf '  %s … ' "$label" >&2
  if "$@" >>"$log" 2>&1 </dev/null; then
    printf 'done (%ds)\n' "$((SECONDS - start))" >&2
  else
    local code=$?
    printf 'failed\n' >&2
    tail -n 40 "$log" >&2
    die "$label failed with exit code $code" "the whole output is in .strongroom/setup.log"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "installing Debian packages needs root" "run once as root: apt-get install $*"; fi
}

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

ensure_apt() {
  command -v dpkg-query >/dev/null || die "this machine is not a Debian" "install by hand: $*, then run the steps of README.md"
  local missing=()
  for package in "$@"; do installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -eq 0 ] && return
  run "package lists" as_root apt-get update -q
  run "Debian packages: ${missing[*]}" \
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }
usable_node() { command -v node >/dev/null && command -v npm >/dev/null && at_least "$(node -p process.versions.node)" "$node_floor"; }

# The pinned Node.js from the npm registry, beside the project; sets pinned_bin to the folder of its node and npm.
pin_node() {
  local arch dir="$state/node"
  case "$(uname -m)" in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) die "no Node.js $node_pin for $(uname -m)" "install Node.js $node_floor or newer" ;; esac
  if [ "$("$dir/bin/node" --version 2>/dev/null)" != "v$node_pin" ] || [ ! -e "$dir/node_modules/npm/bin/npm-cli.js" ]; then
    mkdir -p "$dir/bin"
    run "Node.js $node_pin" npm install --prefix "$dir" --no-save --ignore-scripts "node-linux-$arch@$node_pin" "npm@$npm_pin"
    ln -sf "../node_modules/node-linux-$arch/bin/node" "$dir/bin/node"
    ln -sf "../node_modules/npm/bin/npm-cli.js" "$dir/bin/npm"
  fi
  pinned_bin="$dir/bin"
}

# Node: the machine's own if it is new enough, else Debian's, else the pinned one.
ensure_node() {
  if ! usable_node; then
    ensure_apt nodejs npm
    hash -r
  fi
  if ! usable_node; then
    pin_node
    PATH="$pinned_bin:$PATH"
    export PATH
    hash -r
  fi
  # Native modules are compiled against the headers of this very Node, where it has brought them along.
  local headers
  headers=$(cd "$(dirname "$(readlink -f "$(command -v node)")")/.." && pwd)
  if [ -e "$headers/include/node/node.h" ]; then
    export npm_config_nodedir="$headers"
  elif installed nodejs; then
    ensure_apt libnode-dev
    export npm_config_nodedir=/usr
  fi
}

ensure_modules() {
  local want have
  want="$(node -p process.versions.modules) $(sha256sum "$root/package-lock.json" | cut -d' ' -f1)"
  have=$(cat "$root/node_modules/.strongroom" 2>/dev/null || true)
  [ "$want" = "$have" ] && return
  # Not `npm ci`: npm 11 refuses a lock file that lacks the optional packages of other platforms. The lock file
  # still decides every version and hash, and is not written.
  run "npm packages" npm install --prefix "$root" --no-save --no-audit --no-fund
  printf '%s' "$want" >"$root/node_modules/.strongroom"
}

ensure_build() {
  if [ ! -e "$root/dist/cli/main.js" ] || [ -n "$(find "$root/src" "$root/tsconfig.build.json" "$root/node_modules/.strongroom" -newer "$root/dist/cli/main.js" -print -quit)" ]; then
    rm -rf "$root/dist"
    run "build" npm run --prefix "$root" --silent build
  fi
}

# What the vault itself needs; callers add their own packages.
setup() {
  : >"$log"
  cd "$root"
  ensure_apt ca-certificates softhsm2 g++ make python3 "$@"
  ensure_node
  ensure_modules
  ensure_build
}
