# Packages without a wheel: pip compiles them, which not every machine can. For contrib/install and contrib/debian/build,
# which have "say" and "die", "python", "wheels" (a directory that they were given, or empty) and "wheels_tried", a
# path that may be written.

COMPILED='msgspec maxminddb' # the packages of bangeod's that have no wheel for some machines
NEEDED=msgspec # the one that can't be without what is compiled; maxminddb has slower code in Python for it
personality='' # what pip is run through

# Before anything is changed, and only where it may be so: on 64-bit x86 and ARM there are wheels of all.
require_wheels() {
    machine=$("$python" -c 'import os, sys; print(os.uname().machine, sys.maxsize.bit_length() + 1, "bits")')
    case $machine in
    'x86_64 64 bits' | 'aarch64 64 bits') return 0 ;;
    # A 32-bit Python on a 64-bit kernel, which Raspberry Pi OS has: pip would take its packages for a 64-bit one.
    *64*' 32 bits') personality='setarch linux32' ;;
    esac
    missing=$(without_wheel $COMPILED)
    [ -n "$missing" ] || return 0
    what="no wheel of $(echo $missing | sed 's/ / and /g') is to be had for this machine ($machine)"
    compiler=$("$python" -c 'import sysconfig; print((sysconfig.get_config_var("CC") or "cc").split()[0])')
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
    give_compiler='apt-get install gcc python3-dev   # or what the distribution calls a C compiler and Python.h'
    if command -v "${CC:-$compiler}" >/dev/null && [ -e "$header" ]; then
        say "$what: pip builds them here, which takes some minutes on a small one"
    elif [ "${missing#*"$NEEDED"}" = "$missing" ]; then
        say "$what, nor a C compiler: MMDBs are read by slower code. For the faster one break this off, then:" \
            "$give_compiler"
    else
        die "$what, and no C compiler is here to build them" \
            "give it one and run this again; it may go again afterwards: $give_compiler" \
            "or take wheels that were built on another such machine (pip wheel --wheel-dir DIR . hatchling): $0 --wheels DIR" \
            "or, where the processor has 64 bits, the system's 64-bit edition, for which there are wheels of all"
    fi
}

# Prints those of the packages that pip finds no wheel of, with its settings: Raspberry Pi OS has an index of its own.
without_wheel() {
    "$python" -m venv "$wheels_tried"
    # If not even this one comes, which is pure Python, it is not for the lack of wheels: the installation will say why.
    if ! has_wheel click; then return 0; fi
    lacking=''
    for package; do has_wheel "$package" || lacking="$lacking $package"; done
    echo $lacking
}

has_wheel() {
    # Words on purpose: no option, or two; a program before pip, or none.
    # shellcheck disable=SC2086
    $personality "$wheels_tried/bin/python3" -m pip download --quiet --disable-pip-version-check --no-input --no-deps \
        --only-binary=:all: --dest "$wheels_tried/wheels" ${wheels:+--no-index --find-links="$wheels"} "$1" 2>/dev/null
}
