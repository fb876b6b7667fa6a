package collective

import (
	"bytes"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFramesComeBack(t *testing.T) {
	for _, v := range []*values{
		{f32: []float32{1, -0.5, float32(math.Inf(-1))}},
		{f64: []float64{math.Pi, -0, 0x1p-1074}},
		{i32: []int32{-1, math.MaxInt32, 0}},
	} {
		k := float32s
		switch {
		case v.f64 != nil:
			k = float64s
		case v.i32 != nil:
			k = int32s
		}
		h := header{typ: askFrame, call: call{allGather, k, 2, 3, 1}, number: 1 << 40}
		got, payload, err := readFrame(bytes.NewReader(encodeValues(nil, h, v)), nil, 2)
		require.NoError(t, err)
		h.size = 3 * kindSizes[k]
		require.Equal(t, h, got)
		var back values
		back.room(k, 3)
		decodeValues(&back, payload)
		require.Equal(t, v, &back)
	}
	got, payload, err := readFrame(bytes.NewReader(textFrame(failureFrame, "why")), nil, 0)
	require.NoError(t, err)
	require.Equal(t, failureFrame, got.typ)
	require.Equal(t, "why", string(payload))
	require.Len(t, textFrame(failureFrame, string(make([]byte, maxText+1))), headerSize+maxText)
}

func TestDamagedFramesAreRefused(t *testing.T) {
	good := encodeValues(nil, header{typ: askFrame, call: call{allReduce, float32s, 0, 2, 1}}, &values{f32: []float32{1, 2}})
	for want, damage := range map[string]func(b []byte){
		"not a frame of ranks":            func(b []byte) { b[0] = 'X' },
		"unknown type 9":                  func(b []byte) { b[4] = 9 },
		"unknown type 0":                  func(b []byte) { b[4] = 0 },
		"unknown operation 0":             func(b []byte) { b[5] = 0 },
		"of kind 4":                       func(b []byte) { b[6] = 4 },
		"over 3":                          func(b []byte) { b[7] = 3 },
		"announces 16 bytes":              func(b []byte) { b[32] = 16 },
		"announces 18446744073709551615":  func(b []byte) { copy(b[16:24], bytes.Repeat([]byte{0xff}, 8)) },
		"in runs of 18446744073709551615": func(b []byte) { copy(b[24:32], bytes.Repeat([]byte{0xff}, 8)) },
		"a text of 65537 bytes":           func(b []byte) { b[4], b[32], b[34] = byte(failureFrame), 1, 1 },
	} {
		b := bytes.Clone(good)
		damage(b)
		_, _, err := readFrame(bytes.NewReader(b), nil, 2)
		require.ErrorContains(t, err, want)
	}
	for n := range good {
		_, _, err := readFrame(bytes.NewReader(good[:n]), nil, 2)
		require.True(t, err == io.EOF && n == 0 || err != nil, "%d bytes", n)
	}
}

// TestAnnouncedBytesAreNotBelieved announces far more than comes.
func TestAnnouncedBytesAreNotBelieved(t *testing.T) {
	head := make([]byte, headerSize)
	header{typ: askFrame, call: call{allReduce, float64s, 0, 1 << 36, 1}, size: 1 << 39}.encode(head)
	_, buf, err := readFrame(bytes.NewReader(head), nil, 0)
	require.ErrorIs(t, err, io.EOF)
	require.Less(t, cap(buf), 1<<22)
}

func FuzzReadFrame(f *testing.F) {
	f.Add(encodeValues(nil, header{typ: answerFrame, call: call{reduceScatter, float64s, 1, 2, 1}}, &values{f64: []float64{1, 2}}))
	f.Add(textFrame(byeFrame, ""))
	f.Add(hello(1, grid, []string{"seed 1"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, payload, err := readFrame(bytes.NewReader(data), nil, len(grid))
		if err != nil {
			return
		}
		require.Len(t, payload, h.size)
		if h.typ == helloFrame {
			rank, err := readHello(string(payload), grid, nil)
			require.True(t, err != nil || rank > 0 && rank < grid.Ranks())
			return
		}
		if h.typ != askFrame && h.typ != answerFrame {
			return
		}
		var v values
		v.room(h.call.kind, h.call.count)
		decodeValues(&v, payload)
		again := encodeValues(nil, h, &v)
		require.Equal(t, data[:len(again)], again, "a frame has one form")
	})
}
