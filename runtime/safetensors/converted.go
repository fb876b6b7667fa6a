package safetensors

import "fmt"

// ConversionName is the file in which a converted checkpoint says what it is: which plan its files follow.
const ConversionName = "conversion.json"

// RankName is the file of one rank's tensors in a checkpoint that was converted for ranks.
func RankName(rank, ranks int) string {
	return fmt.Sprintf("rank-%05d-of-%05d.safetensors", rank, ranks)
}

// RankMetadata is what the file of a rank says of itself, beside the model's name.
func RankMetadata(rank, ranks int, mesh string) map[string]string {
	return map[string]string{"format": "flagc", "mesh": mesh, "rank": fmt.Sprint(rank), "ranks": fmt.Sprint(ranks)}
}

// CheckRank fails if a file does not say that it is that of a rank.
func (f *File) CheckRank(rank, ranks int, mesh string) error {
	for key, want := range RankMetadata(rank, ranks, mesh) {
		if got := f.metadata[key]; got != want {
			return fmt.Errorf("%s: its %s is %q, expected %q: the file of rank %d of %d belongs here", f.path, key, got, want, rank, ranks)
		}
	}
	return nil
}
