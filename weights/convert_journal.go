package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"sync"
)

// journal remembers what of a conversion is safely on disk, so that it can be taken up after a crash at any
// moment. It is a text of lines, each a checksum and a JSON object; a line that is cut short or damaged ends
// it. The first line says what is converted, and from what.
type journal struct {
	file outFile
	at   int64 // where the next line goes

	mu     sync.Mutex   // guards at and hashes: files are hashed while others are written
	units  int          // that there are
	done   map[int]bool // units
	tiles  TileCounts
	hashes map[string]string // SHA-256 of complete files
}

// journalHead is the first line.
type journalHead struct {
	Version int           `json:"journal"`
	Plan    string        `json:"plan"` // digest
	Source  []sourceState `json:"source"`
}

// sourceState is by what a file of the checkpoint is known to be unchanged.
type sourceState struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Time  int64  `json:"time"` // of the last change, nanoseconds since 1970
}

// journalLine is every other line: units that are on disk, as ranges from ≤ number < to, or a file's hash.
type journalLine struct {
	Units  [][2]int   `json:"units,omitempty"`
	Tiles  TileCounts `json:"tiles,omitzero"`
	File   string     `json:"file,omitempty"`
	SHA256 string     `json:"sha256,omitempty"`
}

// journalVersion changes with what a number of a unit means, unitBytes included.
const journalVersion = 2

// openJournal begins a journal, or reads one that an interrupted conversion left and checks that it belongs to
// the same plan and source.
func openJournal(sys fileSystem, path string, head journalHead, units int) (*journal, error) {
	j := &journal{units: units, done: map[int]bool{}, hashes: map[string]string{}}
	text, err := sys.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := j.read(text, head); err != nil {
		return nil, refusal{err} // another conversion's: going on is no advice
	}
	if j.file, err = sys.Create(path); err != nil {
		return nil, err
	}
	err = j.file.Truncate(j.at)
	if j.at == 0 && err == nil {
		err = j.append(head)
	}
	if err != nil {
		return nil, errors.Join(err, j.file.Close())
	}
	return j, nil
}

// read takes in the lines of an earlier run.
func (j *journal) read(text []byte, head journalHead) error {
	for first := true; ; first = false {
		line, ok := journalText(text[j.at:])
		if !ok {
			return nil
		}
		if first {
			if err := sameHead(line, head); err != nil {
				return err
			}
		} else if err := j.take(line); err != nil {
			return err
		}
		j.at += int64(len(line) + journalFrame)
	}
}

// journalFrame is the length of a line around its JSON: the checksum, a space, the end of the line.
const journalFrame = 8 + 1 + 1

// journalText is the JSON of the first line of a text, if that is whole.
func journalText(text []byte) ([]byte, bool) {
	end := bytes.IndexByte(text, '\n')
	if end < journalFrame-1 || text[8] != ' ' {
		return nil, false
	}
	line := text[9:end]
	return line, string(text[:8]) == fmt.Sprintf("%08x", crc32.ChecksumIEEE(line))
}

// sameHead holds the head of an earlier run against this one's.
func sameHead(line []byte, head journalHead) error {
	var old journalHead
	if err := json.Unmarshal(line, &old); err != nil {
		return fmt.Errorf("the journal's head: %w", err)
	}
	if old.Version != head.Version || old.Plan != head.Plan {
		return errors.New("the interrupted conversion had another plan (model, layout, ranks or precision)")
	}
	for i, s := range head.Source {
		if i >= len(old.Source) || old.Source[i] != s {
			return fmt.Errorf("%s has changed since the interrupted conversion began", s.Name)
		}
	}
	return nil
}

// take reads a line of progress.
func (j *journal) take(line []byte) error {
	var l journalLine
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Errorf("the journal: %w", err)
	}
	for _, r := range l.Units {
		if r[0] < 0 || r[0] > r[1] || r[1] > j.units {
			return fmt.Errorf("the journal names parts %d to %d of %d", r[0], r[1], j.units)
		}
		for u := r[0]; u < r[1]; u++ {
			j.done[u] = true
		}
	}
	j.tiles.add(l.Tiles)
	if l.File != "" {
		j.hashes[l.File] = l.SHA256
	}
	return nil
}

// journalFramed is a line with a JSON text.
func journalFramed(text []byte) []byte {
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(text), text)
}

// append writes one line and waits until it is on disk.
func (j *journal) append(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	line := journalFramed(text)
	if _, err := j.file.WriteAt(line, j.at); err != nil {
		return err
	}
	j.at += int64(len(line))
	return j.file.Sync()
}

// hash is the SHA-256 of a file, if that is known.
func (j *journal) hash(name string) (sum string, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	sum, ok = j.hashes[name]
	return sum, ok
}

// setHash remembers the SHA-256 of a file.
func (j *journal) setHash(name, sum string) error {
	j.mu.Lock()
	j.hashes[name] = sum
	j.mu.Unlock()
	return j.append(journalLine{File: name, SHA256: sum})
}

// ranges writes numbers as ranges.
func ranges(units []int) (out [][2]int) {
	slices.Sort(units)
	for _, u := range units {
		if n := len(out); n > 0 && out[n-1][1] == u {
			out[n-1][1]++
			continue
		}
		out = append(out, [2]int{u, u + 1})
	}
	return out
}
