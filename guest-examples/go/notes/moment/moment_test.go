package moment

import "testing"

func TestATimeIsANumberAndAUnit(t *testing.T) {
	for text, want := range map[string]uint64{"90s": 90_000, "5m": 300_000, "12h": 43_200_000, "7d": 604_800_000} {
		if got, err := Millis(text); err != nil || got != want {
			t.Errorf("Millis(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "7", "0d", "-1d", "1.5h", "7 d", "7ä", "99999999999999999d"} {
		if got, err := Millis(text); err == nil {
			t.Errorf("Millis(%q) = %d", text, got)
		}
	}
}
