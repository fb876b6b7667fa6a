package collective

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// A frame is a header of headerSize bytes and what it announces. All numbers are little-endian.
//
//	0  magic    4 bytes
//	4  type     hello, ask, answer, failure, bye
//	5  op       of ask and answer, as the next four
//	6  kind
//	7  over
//	8  call     the number of the call
//	16 count    numbers in the payload
//	24 inner
//	32 size     bytes of payload
const headerSize = 40

const magic = "FLG1"

// frameType says what a frame is for.
type frameType uint8

// The types of frames. Ranks send hello first, then asks, then bye or failure; rank 0 sends answers or failure.
const (
	helloFrame frameType = iota + 1
	askFrame
	answerFrame
	failureFrame
	byeFrame
)

// Bounds of what a frame can announce, so that damaged ones are refused and not believed.
const (
	maxText  = 1 << 16 // bytes of a hello or a failure
	maxCount = 1 << 40 // numbers of a call
)

// header is the decoded start of a frame.
type header struct {
	typ    frameType
	call   call   // count is that of the payload
	number uint64 // of the call
	size   int    // bytes of payload
}

func (h header) encode(to []byte) {
	clear(to[:headerSize])
	copy(to, magic)
	to[4], to[5], to[6], to[7] = byte(h.typ), byte(h.call.op), byte(h.call.kind), byte(h.call.over)
	binary.LittleEndian.PutUint64(to[8:], h.number)
	binary.LittleEndian.PutUint64(to[16:], uint64(h.call.count))
	binary.LittleEndian.PutUint64(to[24:], uint64(h.call.inner))
	binary.LittleEndian.PutUint64(to[32:], uint64(h.size))
}

// decodeHeader reads and checks headerSize bytes; axes is how many axes the mesh has.
func decodeHeader(b []byte, axes int) (header, error) {
	var h header
	if len(b) != headerSize || string(b[:4]) != magic {
		return h, fmt.Errorf("not a frame of ranks: it begins with %q", b[:min(len(b), 4)])
	}
	word := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	h.typ, h.number = frameType(b[4]), word(8)
	h.call.op, h.call.kind, h.call.over = op(b[5]), kind(b[6]), int(b[7])
	count, inner, size := word(16), word(24), word(32)
	switch h.typ {
	case askFrame, answerFrame:
		switch {
		case h.call.op < allReduce || h.call.op > reduceScatter || h.call.kind < float32s || h.call.kind > int32s ||
			h.call.over > axes:
			return h, fmt.Errorf("a frame asks for the unknown operation %d of kind %d over %d", b[5], b[6], b[7])
		case count > maxCount || inner > maxCount:
			return h, fmt.Errorf("a frame announces %d numbers in runs of %d", count, inner)
		case size != count*uint64(kindSizes[h.call.kind]):
			return h, fmt.Errorf("a frame announces %d bytes for %d numbers of %d bytes", size, count, kindSizes[h.call.kind])
		}
	case helloFrame, failureFrame, byeFrame:
		if size > maxText {
			return h, fmt.Errorf("a frame announces a text of %d bytes, more than %d", size, maxText)
		}
	default:
		return h, fmt.Errorf("a frame has the unknown type %d", b[4])
	}
	h.call.count, h.call.inner, h.size = int(count), int(inner), int(size)
	return h, nil
}

// readFrame reads a frame; the payload uses the memory of buf where that is large enough. Memory grows with what has
// arrived, not with what is announced.
func readFrame(r io.Reader, buf []byte, axes int) (header, []byte, error) {
	const step = 1 << 20
	buf = slices.Grow(buf[:0], headerSize)[:headerSize] // an array here would be on the heap for each frame
	if _, err := io.ReadFull(r, buf); err != nil {
		return header{}, buf, err
	}
	h, err := decodeHeader(buf, axes)
	if err != nil {
		return h, buf, err
	}
	buf = buf[:0]
	for len(buf) < h.size {
		have, n := len(buf), min(h.size-len(buf), step)
		buf = slices.Grow(buf, n)[:have+n]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			return h, buf, err
		}
	}
	return h, buf, nil
}

// textFrame is a frame whose payload is text; what exceeds the bound is cut.
func textFrame(typ frameType, text string) []byte {
	text = text[:min(len(text), maxText)]
	b := make([]byte, headerSize, headerSize+len(text))
	header{typ: typ, size: len(text)}.encode(b)
	return append(b, text...)
}

// encodeValues is the frame that carries v, in the memory of buf where that is large enough.
func encodeValues(buf []byte, h header, v *values) []byte {
	h.size = h.call.count * kindSizes[h.call.kind]
	buf = grow(buf, headerSize+h.size)
	h.encode(buf)
	p := buf[headerSize:]
	for i, x := range v.f32 {
		binary.LittleEndian.PutUint32(p[4*i:], math.Float32bits(x))
	}
	for i, x := range v.f64 {
		binary.LittleEndian.PutUint64(p[8*i:], math.Float64bits(x))
	}
	for i, x := range v.i32 {
		binary.LittleEndian.PutUint32(p[4*i:], uint32(x))
	}
	return buf
}

// decodeValues reads a payload into v, whose slice of the kind has its length.
func decodeValues(v *values, p []byte) {
	for i := range v.f32 {
		v.f32[i] = math.Float32frombits(binary.LittleEndian.Uint32(p[4*i:]))
	}
	for i := range v.f64 {
		v.f64[i] = math.Float64frombits(binary.LittleEndian.Uint64(p[8*i:]))
	}
	for i := range v.i32 {
		v.i32[i] = int32(binary.LittleEndian.Uint32(p[4*i:]))
	}
}
