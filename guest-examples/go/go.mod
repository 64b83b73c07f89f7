module stash.example/guests

go 1.25

require go.bytecodealliance.org/pkg v0.2.3

// build.sh puts it there.
replace go.bytecodealliance.org/pkg => ./internal/bindings/pkg
