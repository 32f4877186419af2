# Builds the package, installs it, makes a database and uses a daemon on it; run by in_root.sh.
set -eu
if command -v cc gcc; then
    echo "a compiler is here, so it would not be noticed that one is needed" >&2
    exit 1
fi
/srv/bangeod/contrib/debian/build --wheels /srv/wheels --output /srv/packages
apt-get install --yes /srv/packages/bangeod_*.deb
du --summarize --block-size=1K /usr/lib/bangeod
bangeod --version
bangeod --version | grep 'SQLite 3\..*sqlcipher3' # not the system's, with its WAL-reset bug
zgrep --quiet 'ZETETIC LLC' /usr/share/doc/bangeod/copyright

place=/srv/place
install -d -o bangeod -g bangeod $place
as_bangeod() { setpriv --reuid=bangeod --regid=bangeod --init-groups "$@"; }
as_bangeod bangeod init $place
# No function here: what is in the background is to be the daemon itself, not a shell that waits for it.
setpriv --reuid=bangeod --regid=bangeod --init-groups bangeod run --config $place/bangeod.toml >$place/log 2>&1 &
daemon=$!
# However it ends, the daemon ends with it, and what it said is shown.
trap 'kill $daemon 2>/dev/null || true; wait $daemon || true; cat $place/log' EXIT
waited=0
until [ -S $place/bangeod.sock ]; do
    sleep 1
    waited=$((waited + 1))
    kill -0 $daemon
    [ $waited -lt 120 ]
done
bangeod check --config $place/bangeod.toml || [ $? = 1 ] # without systemd some of it is amiss
bangeod lookup --config $place/bangeod.toml 8.8.8.8 194.25.0.60
bangeod lookup --config $place/bangeod.toml 194.25.0.60 | grep 'resolved .* DE '
bangeod job run geo_cache_flush --config $place/bangeod.toml
bangeod job run geo_cache_flush --config $place/bangeod.toml
bangeod job run session_cleanup --config $place/bangeod.toml
bangeod status --config $place/bangeod.toml
kill -TERM $daemon
status=0
wait $daemon || status=$?
trap - EXIT
cat $place/log
[ $status = 0 ]
# The rows are in the file.
python3 -c '
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute("SELECT ip, country_code FROM geo_cache ORDER BY ip").fetchall()
assert rows == [("194.25.0.60", "DE"), ("8.8.8.8", "US")], rows
' $place/bangui.db
echo "built, installed and used on $(uname -m), $(. /etc/os-release && echo "$PRETTY_NAME")"
