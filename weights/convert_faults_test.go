package weights

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// faults is a file system in which operations fail. Each kind has a countdown; at zero the operation fails with err.
type faults struct {
	system
	left atomic.Int64 // operations until it fails; negative for never
	on   string       // "write", "read", "sync", "rename", "create", or "" for any
	err  error
	dead atomic.Bool // after the fault everything fails, as if the process were gone
	hard bool

	mu   sync.Mutex
	free int64 // if not zero, what Free says
}

func (f *faults) fails(kind string) error {
	if f.hard && f.dead.Load() {
		return f.err
	}
	if f.on != "" && f.on != kind || f.left.Add(-1) != 0 {
		return nil
	}
	f.dead.Store(true)
	return f.err
}

func (f *faults) Open(path string) (inFile, error) {
	in, err := f.system.Open(path)
	return faultyIn{in, f}, err
}

func (f *faults) Create(path string) (outFile, error) {
	if err := f.fails("create"); err != nil {
		return nil, err
	}
	out, err := f.system.Create(path)
	return faultyOut{out, f}, err
}

func (f *faults) Rename(from, to string) error {
	if err := f.fails("rename"); err != nil {
		return err
	}
	return f.system.Rename(from, to)
}

func (f *faults) Free(path string) (int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.free > 0 {
		return f.free, true
	}
	return f.system.Free(path)
}

type faultyIn struct {
	inFile
	f *faults
}

func (i faultyIn) ReadAt(p []byte, at int64) (int, error) {
	if err := i.f.fails("read"); err != nil {
		n, _ := i.inFile.ReadAt(p[:len(p)/2], at) // a short read with its reason
		return n, err
	}
	return i.inFile.ReadAt(p, at)
}

type faultyOut struct {
	outFile
	f *faults
}

func (o faultyOut) WriteAt(p []byte, at int64) (int, error) {
	if err := o.f.fails("write"); err != nil {
		n, _ := o.outFile.WriteAt(p[:len(p)/2], at) // as a full disk does
		return n, err
	}
	return o.outFile.WriteAt(p, at)
}

func (o faultyOut) Sync() error {
	if err := o.f.fails("sync"); err != nil {
		return err
	}
	return o.outFile.Sync()
}

// TestFaultsKeepWhatIsValid lets each kind of operation fail at many points, resumes, and expects the same bytes; at
// no time is there a folder of the final name that is not complete.
func TestFaultsKeepWhatIsValid(t *testing.T) {
	config, src := made(t)
	plan, err := NewPlan(lowered(t, config, storedFP8, storedFP8, 2), Ranks)
	require.NoError(t, err)
	whole := filepath.Join(t.TempDir(), "whole")
	_, err = Convert(plan, src, whole, ConvertOptions{About: about()})
	require.NoError(t, err)
	want := folder(t, whole)
	for _, c := range []struct {
		on, says string
		err      error
		at       []int64
	}{
		{"write", "disk is full; what is done is kept: make room; go on with --resume", syscall.ENOSPC, []int64{1, 2, 3, 40, 400, 900}},
		{"read", "input/output error", syscall.EIO, []int64{1, 7, 300, 900}},
		{"read", "the file is shorter than it was when the conversion began", io.EOF, []int64{2, 500}},
		{"sync", "input/output error", syscall.EIO, []int64{1, 2, 3}},
		{"create", "permission denied", syscall.EACCES, []int64{1, 2, 3}},
		{"rename", "input/output error", syscall.EIO, []int64{1}},
		{"", "gone", errors.New("gone"), []int64{1, 2, 5, 50, 500, 1000, 2000}},
	} {
		for _, at := range c.at {
			t.Run(fmt.Sprintf("%s/%v/%d", c.on, c.err, at), func(t *testing.T) {
				dst := filepath.Join(t.TempDir(), "out")
				sys := &faults{on: c.on, err: c.err, hard: c.on == ""}
				sys.left.Store(at)
				_, err := Convert(plan, src, dst, ConvertOptions{About: about(), Jobs: 2, sys: sys})
				require.ErrorContains(t, err, c.says)
				require.NoDirExists(t, dst)
				_, err = Convert(plan, src, dst, ConvertOptions{About: about()})
				if _, begun := os.Stat(filepath.Join(workFolder(dst), journalName)); begun == nil {
					require.ErrorContains(t, err, "go on with --resume")
				}
				_, err = Convert(plan, src, dst, ConvertOptions{About: about(), Resume: true})
				require.NoError(t, err)
				requireSameFolder(t, want, dst)
				require.NoDirExists(t, workFolder(dst))
			})
		}
	}
}

// TestDamagedJournalsEndEarly cuts and damages the journal of an interrupted conversion: what cannot be read was not
// done, and the result is the same.
func TestDamagedJournalsEndEarly(t *testing.T) {
	config, src := made(t)
	plan, err := NewPlan(lowered(t, config, plainBF16, plainBF16, 1), Release)
	require.NoError(t, err)
	whole := filepath.Join(t.TempDir(), "whole")
	_, err = Convert(plan, src, whole, ConvertOptions{About: about()})
	require.NoError(t, err)
	want := folder(t, whole)
	for cut := range 8 {
		dst := filepath.Join(t.TempDir(), "out")
		sys := &faults{on: "rename", err: syscall.EIO}
		sys.left.Store(1)
		_, err := Convert(plan, src, dst, ConvertOptions{About: about(), sys: sys})
		require.Error(t, err)
		path := filepath.Join(workFolder(dst), journalName)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		n := len(text) * (cut + 1) / 9
		if cut%2 == 0 {
			text = text[:n]
		} else {
			text[n] ^= 4
		}
		require.NoError(t, os.WriteFile(path, text, 0o666))
		_, err = Convert(plan, src, dst, ConvertOptions{About: about(), Resume: true})
		require.NoError(t, err)
		requireSameFolder(t, want, dst)
	}
}

// TestResumeRefusesAnotherConversion changes the plan, then the source, of an interrupted conversion.
func TestResumeRefusesAnotherConversion(t *testing.T) {
	config, src := made(t)
	plan, err := NewPlan(lowered(t, config, storedFP8, storedFP8, 1), Release)
	require.NoError(t, err)
	other, err := NewPlan(lowered(t, config, plainBF16, plainBF16, 1), Release)
	require.NoError(t, err)
	dst := filepath.Join(t.TempDir(), "out")
	sys := &faults{on: "write", err: syscall.ENOSPC}
	sys.left.Store(100)
	_, err = Convert(plan, src, dst, ConvertOptions{About: about(), sys: sys})
	require.Error(t, err)
	_, err = Convert(other, src, dst, ConvertOptions{About: about(), Resume: true})
	require.ErrorContains(t, err, "had another plan")
	require.NotContains(t, err.Error(), "go on with")
	path := src.Files()[2].Path()
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
	_, err = Convert(plan, src, dst, ConvertOptions{About: about(), Resume: true})
	require.ErrorContains(t, err, filepath.Base(path)+" has changed since the interrupted conversion began")
}

// TestSourceThatChangesIsRefused touches a file of the source while it is converted.
func TestSourceThatChangesIsRefused(t *testing.T) {
	for name, change := range map[string]func(path string){
		"touched":  func(path string) { _ = os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
		"vanished": func(path string) { _ = os.Remove(path) },
	} {
		config, src := made(t) // of its own: what vanished stays away
		plan, err := NewPlan(lowered(t, config, storedFP4, storedFP8, 1), Release)
		require.NoError(t, err)
		dst := filepath.Join(t.TempDir(), "out")
		var once sync.Once
		_, err = Convert(plan, src, dst, ConvertOptions{About: about(), Progress: func(Progress) {
			once.Do(func() { change(src.Files()[1].Path()) })
		}})
		require.ErrorContains(t, err, "has changed during the conversion", name)
		require.NoDirExists(t, dst)
	}
}

// TestSecondConverterIsRefused begins a conversion to a folder while another is at work on it.
func TestSecondConverterIsRefused(t *testing.T) {
	config, src := made(t)
	plan, err := NewPlan(lowered(t, config, storedFP4, storedFP8, 1), Release)
	require.NoError(t, err)
	dst := filepath.Join(t.TempDir(), "out")
	var once sync.Once
	var second, third error
	_, err = Convert(plan, src, dst, ConvertOptions{About: about(), Progress: func(Progress) {
		once.Do(func() {
			_, second = Convert(plan, src, dst, ConvertOptions{About: about()})
			_, third = Convert(plan, src, dst, ConvertOptions{About: about(), Resume: true})
		})
	}})
	require.NoError(t, err)
	require.ErrorContains(t, second, "another conversion to "+dst+" is at work")
	require.ErrorContains(t, third, "another conversion to "+dst+" is at work")
	_, err = Convert(plan, src, dst, ConvertOptions{About: about()})
	require.ErrorContains(t, err, "is not empty")
	done, err := Convert(plan, src, dst, ConvertOptions{About: about(), Resume: true})
	require.NoError(t, err)
	require.True(t, done.Already)
}

// TestStoppedConversionsGoOn stops a conversion while it reads, while it waits for its rate, and while it hashes.
func TestStoppedConversionsGoOn(t *testing.T) {
	config, src := made(t)
	plan, err := NewPlan(lowered(t, config, storedFP8, storedFP8, 2), Ranks)
	require.NoError(t, err)
	whole := filepath.Join(t.TempDir(), "whole")
	_, err = Convert(plan, src, whole, ConvertOptions{About: about()})
	require.NoError(t, err)
	want := folder(t, whole)
	for name, c := range map[string]struct {
		limit int64
		phase string
	}{"reading": {0, "convert"}, "waiting": {1 << 20, "convert"}, "hashing": {0, "hash"}} {
		t.Run(name, func(t *testing.T) {
			stop := make(chan struct{})
			var once sync.Once
			dst := filepath.Join(t.TempDir(), "out")
			_, err := Convert(plan, src, dst, ConvertOptions{About: about(), Jobs: 2, Limit: c.limit, Stop: stop, Progress: func(p Progress) {
				if p.Phase == c.phase {
					once.Do(func() { close(stop) })
				}
			}})
			require.ErrorContains(t, err, "cannot convert to "+dst+": interrupted (what is done is kept; go on with --resume)")
			require.NoDirExists(t, dst)
			done, err := Convert(plan, src, dst, ConvertOptions{About: about(), Resume: true})
			require.NoError(t, err)
			require.NotZero(t, done.Resumed)
			requireSameFolder(t, want, dst)
		})
	}
}

// TestRoomIsAskedForFirst runs on a disk that is too small.
func TestRoomIsAskedForFirst(t *testing.T) {
	config, src := made(t)
	plan, err := NewPlan(lowered(t, config, plainBF16, plainBF16, 1), Release)
	require.NoError(t, err)
	dst := filepath.Join(t.TempDir(), "out")
	_, err = Convert(plan, src, dst, ConvertOptions{About: about(), sys: &faults{free: 1 << 20}})
	require.ErrorContains(t, err, "of disk and 1.00 MiB are free: make room")
	require.NoDirExists(t, workFolder(dst), "there is nothing to go on with")
}
