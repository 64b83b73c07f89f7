// Package command makes a program's main the component's export wasi:cli/run.
package command

// The garbage collector is off.
import _ "stash.example/guests/internal/memory"

// Main is what the host runs; set it in an init function. Go itself calls main only in a program with a _start, and that
// begins too late for a component: the host already needs Go's memory for the arguments.
var Main func()

//go:wasmexport wasi:cli/run@0.2.12#run
func run() int32 {
	Main()
	return 0 // ok; os.Exit tells the host of everything else
}
