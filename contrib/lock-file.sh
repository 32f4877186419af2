# Where bangeod's lock is, and how it goes: for contrib/install and the package's postrm, which have "changed" to tell
# what was changed.

# The lock file lies beside the database; where the path of that is a link, beside what it leads to.
find_lock_file() {
    for candidate in /opt/bangeod/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
        "$candidate" -IS - /etc/bangeod/bangeod.toml 2>/dev/null <<'END' && return 0
import os, sys, tomllib
path = "/var/lib/bangui/bangui.db"
try:
    with open(sys.argv[1], "rb") as config:
        path = tomllib.load(config)["database"]["path"]
except (OSError, ValueError, KeyError, TypeError):
    pass
print(os.path.realpath(path) + ".bangeod-lock")
END
    done
    echo /var/lib/bangui/bangui.db.bangeod-lock
}

# One that is held is left: a second daemon would be let in beside whoever holds it.
drop_lock_file() {
    if [ -f "$lock_file" ] && [ ! -L "$lock_file" ] && flock --nonblock "$lock_file" rm -f "$lock_file"; then
        changed "Removed $lock_file"
    fi
}
