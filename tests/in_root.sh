# Runs a script on a copy of a file system, in a mount and a process namespace of its own:
#   in_root.sh SCRATCH ROOT CHECKOUT WHEELS SCRIPT ARGUMENT...
# There the checkout is in /srv/bangeod and the wheels are in /srv/wheels. What is written goes to a tmpfs that the
# mount namespace takes with it.
set -eu
scratch=$1 system=$2 checkout=$3 wheels=$4 script=$5
shift 5
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
exec chroot root /bin/sh -euc "$script" sh "$@"
