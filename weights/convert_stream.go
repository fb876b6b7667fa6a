package weights

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"flagc/runtime/safetensors"
)

func diskFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// bytes is what a unit reads.
func (u unit) bytes() int64 {
	m := u.source()
	codes, scales := m.bytes()
	return int64(codes + scales)
}

// finished is a unit that was written.
type finished struct {
	number int
	tiles  TileCounts
}

// stream converts every unit that no earlier run has done.
func (c *converter) stream() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	results, kept := make(chan finished, 64), make(chan error, 1)
	go func() {
		err := c.keep(results)
		if err != nil {
			cancel()
			for range results { // workers must not wait for a keeper that gave up
			}
		}
		kept <- err
	}()
	work, ctx := errgroup.WithContext(ctx)
	inBytes, outBytes := c.plan.buffers()
	limit := &limiter{rate: c.opts.Limit, stop: c.opts.Stop}
	var next atomic.Int64
	for range jobsOrDefault(c.opts.Jobs) {
		work.Go(func() error {
			w := worker{converter: c, limit: limit, in: make([]byte, inBytes), out: make([]byte, outBytes)}
			for i := int(next.Add(1)) - 1; i < len(c.units) && ctx.Err() == nil && !c.stopped(); i = int(next.Add(1)) - 1 {
				if c.journal.done[i] {
					continue
				}
				tiles, err := w.unit(c.units[i])
				if err != nil {
					return err
				}
				results <- finished{i, tiles}
			}
			return nil
		})
	}
	err := work.Wait()
	close(results)
	return errors.Join(err, <-kept)
}

const (
	// firstKeep and lastKeep are how long units may be done without being safe on disk: soon at first, so that
	// short work can be resumed as well, seldom later, so that flushing does not slow the work.
	firstKeep = 50 * time.Millisecond
	lastKeep  = 5 * time.Second
)

// keep makes finished units safe: their bytes are flushed, then the journal says so. Files that are complete are
// hashed at once, while the system still has their bytes in memory.
func (c *converter) keep(results <-chan finished) error {
	full := c.newFullFiles()
	err := c.keepAll(results, full)
	close(full.queue)
	return errors.Join(err, <-full.done)
}

func (c *converter) keepAll(results <-chan finished, full *fullFiles) error {
	var units []int
	var tiles TileCounts
	tracker := newTracker(c)
	every := firstKeep
	last := time.Now()
	flush := func() error {
		err := c.flush(units, tiles)
		if err == nil {
			full.add(units)
		}
		units, tiles = nil, TileCounts{}
		last, every = time.Now(), min(2*every, lastKeep)
		return err
	}
	for f := range results {
		units = append(units, f.number)
		tiles.add(f.tiles)
		tracker.add(c.units[f.number])
		if time.Since(last) < every {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return flush()
}

func (c *converter) flush(units []int, tiles TileCounts) error {
	if len(units) == 0 {
		return nil
	}
	for i, f := range c.out {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("%s: %w", c.plan.Files[i].Name, err)
		}
	}
	c.result.Tiles.add(tiles)
	return c.journal.append(journalLine{Units: ranges(units), Tiles: tiles})
}

// tracker adds up progress.
type tracker struct {
	report  func(Progress)
	now     Progress
	touched map[string]bool // by tensor
	result  *Converted
}

func newTracker(c *converter) *tracker {
	t := &tracker{report: c.opts.Progress, touched: map[string]bool{}, result: &c.result}
	t.now = Progress{Phase: "convert", Done: c.result.Resumed}
	for _, it := range c.plan.Items {
		a := it.read()
		t.now.Total += a.Bytes
		t.now.All += a.Tensors
	}
	for i, u := range c.units {
		if c.journal.done[i] && u.to == u.item.Rows.Size {
			t.now.Tensors += len(u.item.Source)
		}
	}
	return t
}

func (t *tracker) add(u unit) {
	n := u.bytes()
	t.result.Read += n
	t.now.Done += n
	if u.to == u.item.Rows.Size {
		t.now.Tensors += len(u.item.Source)
	}
	t.now.Where = u.item.Instance
	if t.report != nil {
		t.report(t.now)
	}
}

// worker converts units, one after the other, in its own two buffers.
type worker struct {
	*converter
	limit   *limiter
	in, out []byte
}

// unit reads, converts and writes one unit.
func (w *worker) unit(u unit) (tiles TileCounts, err error) {
	src := u.source()
	src.allocate(w.in)
	if !w.limit.wait(int64(len(src.codes) + len(src.scales))) {
		return tiles, errInterrupted
	}
	if err := w.read(u, &src); err != nil {
		return tiles, err
	}
	for i, data := range [][]byte{src.codes, src.scales}[:len(u.item.Source)] {
		if err := w.check(u, i, data); err != nil {
			return tiles, err
		}
	}
	for _, to := range w.plan.destinations(u) {
		dst := u.item.matrix(u.item.To, to.high-to.low, to.cols)
		if err := w.fill(&dst, &src, u, to, &tiles); err != nil {
			return tiles, fmt.Errorf("tensor %s: %w", u.item.Source[0].named(u.index), err)
		}
		for _, rank := range to.ranks {
			if err := w.write(u.item, rank, u.index, to, &dst); err != nil {
				return tiles, err
			}
		}
	}
	return tiles, nil
}

// fill makes dst: the unit's own bytes where nothing is converted or cut, else new ones in the worker's buffer.
func (w *worker) fill(dst, src *matrix, u unit, to destination, tiles *TileCounts) error {
	if u.item.Conversion == Keep && to.cols == src.cols {
		stride := src.codeBytes(src.cols)
		dst.codes = src.codes[(to.low-u.from)*stride : (to.high-u.from)*stride]
		if src.elem.IsQuantised() {
			_, n := dst.bytes()
			first := (to.low - u.from) / src.elem.Rows * src.perRow()
			dst.scales = src.scales[first : first+n]
		}
		return nil
	}
	dst.allocate(w.out)
	return recode(u.item.Conversion, dst, src, to.low-u.from, to.left, tiles)
}

// read fills a matrix from the checkpoint.
func (w *worker) read(u unit, src *matrix) error {
	stride := int64(src.codeBytes(src.cols))
	if err := w.readAt(u.item.Source[0].named(u.index), src.codes, int64(u.from)*stride); err != nil {
		return err
	}
	if !src.elem.IsQuantised() {
		return nil
	}
	first := int64(u.from / src.elem.Rows * src.perRow())
	return w.readAt(u.item.Source[1].named(u.index), src.scales, first)
}

func (w *worker) readAt(name string, into []byte, at int64) error {
	t, ok := w.src.Tensor(name)
	if !ok {
		return fmt.Errorf("tensor %s is not in the checkpoint", name)
	}
	n, err := w.converter.in[t.File].ReadAt(into, t.Offset+at)
	if n == len(into) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the file is shorter than it was when the conversion began")
	}
	return fmt.Errorf("cannot read tensor %s at byte %d of the source %s: %w", name, t.Offset+at, t.File, err)
}

// check refuses values that no weight has: the first rows of a band count from the band's own beginning.
func (w *worker) check(u unit, i int, data []byte) error {
	part := u.item.Source[i]
	shape := append([]int(nil), part.Shape...)
	if len(shape) > 0 && part.Bytes > 0 {
		shape[0] = int(int64(shape[0]) * int64(len(data)) / part.Bytes)
	}
	t := safetensors.Tensor{Name: part.named(u.index), DType: part.DType, Shape: shape, Data: data}
	if u.from > 0 {
		t.Name += fmt.Sprintf(" from row %d on", u.from)
	}
	if d := checkValues(Tensor{Set: u.item.Set, Weight: u.item.Weight}, t); d != nil {
		source, _ := w.src.Tensor(part.named(u.index))
		d.Span.File = source.File
		return refusal{d}
	}
	return nil
}

// write puts a finished matrix into a rank's file.
func (w *worker) write(it *Item, rank, index int, to destination, m *matrix) error {
	f := w.plan.file(it, rank)
	first, _ := it.Index.Range(w.plan.Mesh, rank)
	for i, data := range [][]byte{m.codes, m.scales}[:len(it.Parts)] {
		part := it.Parts[i]
		at := w.plan.Files[f].Data + part.Offset + part.Bytes*int64(index-first)
		if i == 0 {
			at += int64(to.low-to.top) * int64(m.codeBytes(m.cols))
		} else {
			at += int64((to.low - to.top) / m.elem.Rows * m.perRow())
		}
		if _, err := w.converter.out[f].WriteAt(data, at); err != nil {
			return fmt.Errorf("%s: %w", w.plan.Files[f].Name, err)
		}
	}
	return nil
}

// destination is a part of a unit that goes, as it is, to the files of some ranks.
type destination struct {
	ranks     []int
	top       int // the first row of these ranks' tensor
	low, high int // rows of the unit that are in it
	left      int // the first column
	cols      int
}

// destinations lists who has what of a unit.
func (p *Plan) destinations(u unit) (out []destination) {
	for rank := range p.Ranks() {
		first, last := u.item.Index.Range(p.Mesh, rank)
		top, bottom := u.item.Rows.Range(p.Mesh, rank)
		left, right := u.item.Cols.Range(p.Mesh, rank)
		d := destination{top: top, low: max(top, u.from), high: min(bottom, u.to), left: left, cols: right - left}
		if u.index < first || u.index >= last || d.low >= d.high {
			continue
		}
		if at := sameDestination(out, d); at >= 0 {
			out[at].ranks = append(out[at].ranks, rank)
			continue
		}
		d.ranks = []int{rank}
		out = append(out, d)
	}
	return out
}

func sameDestination(all []destination, d destination) int {
	for i, have := range all {
		if have.low == d.low && have.high == d.high && have.top == d.top && have.left == d.left {
			return i
		}
	}
	return -1
}

// limiter holds a rate by letting callers wait. It is safe for concurrent use.
type limiter struct {
	rate int64           // bytes in a second, 0 for any
	stop <-chan struct{} // ends all waiting
	mu   sync.Mutex
	free time.Time // when the next bytes may be read
}

// wait returns when bytes may be read; false when that is not worth waiting for any more.
func (l *limiter) wait(bytes int64) bool {
	if l.rate <= 0 {
		return true
	}
	l.mu.Lock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	at := l.free
	l.free = at.Add(time.Duration(float64(bytes) / float64(l.rate) * float64(time.Second)))
	l.mu.Unlock()
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.stop:
		return false
	}
}
