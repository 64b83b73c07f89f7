# shellcheck shell=bash
# Finds jco and the TypeScript compiler, which it installs with npm. Source it after ../tools.sh.

# Sets JCO, the folder with their node_modules.
find_jco() {
  command -v node >/dev/null || missing "there is no node: install Node.js 20.19 or newer (https://nodejs.org)"
  command -v npm >/dev/null || missing "there is no npm: install Node.js with npm (https://nodejs.org)"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    missing "node $(node --version) is too old: install Node.js 20.19 or newer (https://nodejs.org)"
  local version name
  version=$(sed -n 's/.*"@bytecodealliance\/jco": "\(.*\)".*/\1/p' "$EXAMPLES/typescript/package.json")
  name=jco-$version-$(cd "$EXAMPLES/typescript" && checksum package.json package-lock.json)
  install_tool "$name" "jco $version, about half a minute, 350 MB" install_jco
  JCO=$TOOLS/$name
}

install_jco() {
  cp "$EXAMPLES/typescript/package.json" "$EXAMPLES/typescript/package-lock.json" "$1"
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error) >&2 || missing "npm cannot install jco: see above"
}
