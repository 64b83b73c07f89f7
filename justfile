# What can be done here. Each recipe is a `cargo xtask` task or one cargo command, so `just` is a convenience only.

# this list
default:
    @just --list

# build Stash and the sample guests, and see components keep their data
demo:
    cargo xtask demo

# all tests; with arguments only `cargo test ARGS`
test *ARGS:
    cargo xtask test {{ARGS}}

# everything that must pass before a change is taken
ci:
    bash .ci/run

# build all guests to target/guests
guests:
    cargo xtask guests

# side by side with what a user would pick instead
bench *ARGS:
    cargo bench --package stash-bench {{ARGS}}

# format all code
fmt:
    cargo xtask fmt

# clippy; a warning is an error
lint:
    cargo xtask lint

# the API documentation
doc:
    cargo xtask doc

# licences, sources and known vulnerabilities of dependencies
deny:
    cargo xtask deny
