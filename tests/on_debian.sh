# Runs pytest on a copy of a file system, in a mount and a process namespace of its own:
#   on_debian.sh SCRATCH ROOT CHECKOUT WHEELS ARGUMENT...
# What is written goes to a tmpfs that the mount namespace takes with it.
set -eu
scratch=$1 system=$2 checkout=$3 wheels=$4
shift 4
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$scratch"
cd "$scratch"
mkdir upper work root
mount -t overlay overlay -o lowerdir="$system",upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mkdir root/srv/bangeod root/srv/wheels
mount --bind "$wheels" root/srv/wheels
git -C "$checkout" ls-files -z --cached --others --exclude-standard |
    tar --create --directory="$checkout" --ignore-failed-read --null --files-from=- |
    tar --extract --directory=root/srv/bangeod
exec chroot root /bin/sh -euc '
python3 -m venv /srv/venv
/srv/venv/bin/pip install --quiet --disable-pip-version-check --no-index --find-links=/srv/wheels "/srv/bangeod[dev]"
cd /srv/bangeod
/srv/venv/bin/python -V
exec /srv/venv/bin/python -m pytest -p no:cacheprovider "$@"' sh "$@"
