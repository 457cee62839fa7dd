# shellcheck shell=bash
# What the scripts share: finding a JDK, Maven and the cache folder. To be sourced; sets nothing by itself.

# The folder outside the checkout where everything that was downloaded or made once is kept.
cache_folder() {
  if [[ -n ${JVIRTIO_CACHE:-} ]]; then
    realpath -m -- "$JVIRTIO_CACHE"
  elif [[ ${XDG_CACHE_HOME:-} == /* ]]; then
    printf '%s/jvirtio\n' "$XDG_CACHE_HOME"
  elif [[ -n ${HOME:-} && $HOME == /* && -d $HOME && -w $HOME ]]; then
    printf '%s/.cache/jvirtio\n' "$HOME"
  else
    printf '/var/tmp/jvirtio-%s\n' "$(id -u)"
  fi
}

tools_say() { printf '%s: %s\n' "${TOOLS_NAME:-jvirtio}" "$*" >&2; }

is_root() { [[ $(id -u) == 0 ]]; }

# apt_get_package PACKAGE: installs it where this user may and the distribution has it.
apt_get_package() {
  is_root && command -v apt-get >/dev/null || return 1
  if ! apt-cache show "$1" >/dev/null 2>&1; then
    apt-get -q update </dev/null >/dev/null 2>&1 || true
    apt-cache show "$1" >/dev/null 2>&1 || return 1
  fi
  tools_say "installing $1"
  DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 install "$1" </dev/null >/dev/null 2>&1
}

readonly JDK_VERSION=25

# The folder is a JDK that is new enough.
is_jdk() {
  local version
  [[ -x $1/bin/java && -x $1/bin/javac && -r $1/release ]] || return 1
  version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release")
  [[ -n $version ]] && ((version >= JDK_VERSION))
}

jdk_in_usual_places() {
  local candidate
  for candidate in "${JAVA_HOME:-}" "$(command -v javac || true)" /usr/lib/jvm/*; do
    [[ $candidate != */javac ]] || candidate=$(dirname "$(dirname "$(realpath "$candidate")")")
    if [[ -n $candidate ]] && is_jdk "$candidate"; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# Sets and exports JAVA_HOME, or ends the script with exit code 1.
find_jdk() {
  local home package=openjdk-$JDK_VERSION-jdk-headless
  if ! home=$(jdk_in_usual_places); then
    apt_get_package "$package" || true
    home=$(jdk_in_usual_places) || {
      tools_say "a JDK $JDK_VERSION or newer is needed, and none is in JAVA_HOME, PATH or /usr/lib/jvm." \
        "Install one (Debian 13 and newer: apt-get install $package; elsewhere a JDK $JDK_VERSION" \
        "of any vendor, unpacked below /usr/lib/jvm or named by JAVA_HOME) and start again."
      exit 1
    }
  fi
  export JAVA_HOME=$home
}

maven_is_new_enough() {
  local version
  version=$(mvn --version 2>/dev/null | sed -n 's/.*Apache Maven \([0-9.]*\).*/\1/p')
  [[ -n $version && $(printf '%s\n3.8\n' "$version" | sort -V | head -n 1) == 3.8 ]]
}

# Sets the array MAVEN to the command to run, or ends the script with exit code 1. Call find_jdk first.
find_maven() {
  if ! command -v mvn >/dev/null; then apt_get_package maven || true; fi
  if ! command -v mvn >/dev/null || ! maven_is_new_enough; then
    tools_say "Maven 3.8 or newer is needed to build, and none is in PATH." \
      "Install it (Debian: apt-get install maven) and start again."
    exit 1
  fi
  MAVEN=(mvn -B -ntp)
  # Java takes the home folder from the user database, not from HOME; Maven keeps its downloads there.
  local home
  home=$(getent passwd "$(id -u)" | cut -d: -f6)
  if [[ ${MAVEN_OPTS:-}${MAVEN_ARGS:-} != *maven.repo.local* && ! -w ${home:-/nonexistent} ]]; then
    MAVEN+=("-Dmaven.repo.local=$(cache_folder)/m2")
  fi
  # Anything in a developer's environment that asks for colours would get into the logs.
  MAVEN+=(-Dstyle.color=never)
}
