#!/usr/bin/env bash
# Makes what sender and receiver need on a machine: a key that both share, and the folders of files and of the status.
#
#   prepare-env.sh [FOLDER]    default: the working directory
#
# FOLDER then has key/transfer.key (mode 0600) and the folders input, output and status. What is there is kept.
# Containers run as user 65532. Run by root, this gives the folders and the key to that user; otherwise set
# TRANSFER_USER=$(id -u):$(id -g) for the compose files.
set -euo pipefail

if [[ ${1:-} == --help || $# -gt 1 ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
  [[ ${1:-} == --help ]] && exit 0
  exit 64
fi
cd "${1:-.}"

mkdir -p key input output status
chmod 0700 key
if [[ ! -s key/transfer.key ]]; then
  # 32 bytes in base64 of the URL alphabet, as `cryptography.fernet.Fernet.generate_key` makes them.
  (umask 077 && head -c 32 /dev/urandom | base64 | tr '+/' '-_' >key/transfer.key.new)
  mv key/transfer.key.new key/transfer.key
fi
chmod 0600 key/transfer.key
if [[ $EUID -eq 0 ]]; then
  chown -R 65532:65532 key input output status
fi
echo "prepared $PWD: key/transfer.key, input, output, status"
