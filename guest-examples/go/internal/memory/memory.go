// Package memory is about Go's garbage collector, which cannot yet be left alone in a component.
//
// When a call of the host answers with a list or a text, the host asks the guest for memory for it, and until it has that
// the guest may call nobody. A collection that begins there asks the host what time it is, and the guest traps. (The
// generated code stops one of the two clocks for so long, but the collector also looks at the other.) So the collector is
// off, and runs where the program says.
package memory

import (
	"runtime"
	"runtime/debug"

	witRuntime "go.bytecodealliance.org/pkg/wit/runtime"
)

func init() { debug.SetGCPercent(-1) }

// Collect frees what is no longer used. A request or a command that handles some MB does without; call it now and then in
// loops that handle more, for example after every 100 pages of a list.
func Collect() {
	// What the host has answered is kept until somebody says that the program has taken what it wants.
	witRuntime.Unpin()
	runtime.GC()
}
