#!/usr/bin/env bash
# task.sh ROOT FILES PROGRAM VOLUME PATH [NAME=VALUE...] -- ARGUMENT...
#
# Runs a program as Fargate runs a container: with the image's files on a read-only root, an unprivileged user, exactly
# the given environment, and nothing writable but VOLUME, mounted at PATH (both empty for none). ROOT is an empty directory
# in a mount namespace of its own; FILES has what goes to /etc.
set -euo pipefail
root=$1 files=$2 program=$3 volume=$4 path=$5
shift 5
environment=()
while [[ $1 != -- ]]; do
  environment+=("$1")
  shift
done
shift

mount -t tmpfs tmpfs "$root"
# As in the Dockerfile: a binary, the C library, certificates, two folders.
mkdir -p "$root"/{usr/local/bin,usr/lib,lib,lib64,proc,dev,etc,var/lib/service,var/log/app}
chown 65532:65532 "$root"/var/{lib/service,log/app}
cp -r "$files/." "$root/etc"
cp "$program" "$root/usr/local/bin/service"
touch "$root"/dev/{null,urandom}
for name in lib lib64 usr/lib proc dev/null dev/urandom; do mount --bind "/$name" "$root/$name"; done
for name in lib lib64 usr/lib; do mount -o remount,bind,ro "$root/$name"; done
if [[ -n $path ]]; then
  mkdir -p "$root$path"
  mount --bind "$volume" "$root$path"
fi
mount -o remount,ro "$root"
exec env -i "${environment[@]}" unshare --root="$root" --wd=/var/lib/service --setgid=65532 --setuid=65532 \
  /usr/local/bin/service "$@"
