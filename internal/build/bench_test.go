package build

import "testing"

// BenchmarkInputs is what every plan does for every image: render the answers, digest the parts, compute the key.
func BenchmarkInputs(b *testing.B) {
	s := testSpec()
	s.Scripts[0].Body = make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		in, err := s.Inputs()
		if err != nil {
			b.Fatal(err)
		}
		_ = in.Key()
	}
}
