// For jco's bundler: what the host provides is not to be bundled.
export default { external: /^(stash|wasi):/ };
