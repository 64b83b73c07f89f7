// Package moment is about times as people write and read them.
package moment

import (
	"fmt"
	"math/bits"
	"strconv"
	"time"
)

var units = map[byte]uint64{'s': 1_000, 'm': 60_000, 'h': 3_600_000, 'd': 86_400_000}

// Millis is how many milliseconds are in a number with a unit: 90s, 5m, 12h, 7d.
func Millis(text string) (uint64, error) {
	if last := len(text) - 1; last > 0 {
		number, err := strconv.ParseUint(text[:last], 10, 64)
		over, product := bits.Mul64(number, units[text[last]])
		if err == nil && over == 0 && product > 0 {
			return product, nil
		}
	}
	return 0, fmt.Errorf("'%s' is no time: write a number and a unit, such as 90s, 5m, 12h or 7d", text)
}

// Shown is a moment in milliseconds since 1970, as 2026-11-21 11:16 in UTC.
func Shown(millis uint64) string {
	return time.UnixMilli(int64(millis)).UTC().Format("2006-01-02 15:04")
}
