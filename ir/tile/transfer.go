package tile

import (
	"encoding/binary"
	"math"

	"flagc/runtime/formats"
)

// The functions here move elements between a buffer and a tile. at holds the element of each lane, -1 where it is
// masked. There is one loop for each format, so that none decides or calls anything per element.

func readFloats(d DType) func(to []float32, data []byte, at []int, other float32) {
	switch d {
	case BF16:
		return readBF16
	case E4M3:
		return readE4M3
	case F16:
		return readF16
	}
	return readF32
}

func readE4M3(to []float32, data []byte, at []int, other float32) {
	to = to[:len(at)]
	for i, k := range at {
		if k < 0 {
			to[i] = other
			continue
		}
		to[i] = e4m3Values[data[k]]
	}
}

func readF16(to []float32, data []byte, at []int, other float32) {
	to = to[:len(at)]
	for i, k := range at {
		if k < 0 {
			to[i] = other
			continue
		}
		to[i] = halfValue(binary.LittleEndian.Uint16(data[2*k:]))
	}
}

func readBF16(to []float32, data []byte, at []int, other float32) {
	to = to[:len(at)]
	for i, k := range at {
		if k < 0 {
			to[i] = other
			continue
		}
		to[i] = math.Float32frombits(uint32(data[2*k])<<16 | uint32(data[2*k+1])<<24)
	}
}

func readF32(to []float32, data []byte, at []int, other float32) {
	to = to[:len(at)]
	for i, k := range at {
		if k < 0 {
			to[i] = other
			continue
		}
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*k:]))
	}
}

func readBytes(to []int32, data []byte, at []int, other int32) {
	to = to[:len(at)]
	for i, k := range at {
		if k < 0 {
			to[i] = other
			continue
		}
		to[i] = int32(int8(data[k]))
	}
}

func readInts(to []int32, data []byte, at []int, other int32) {
	to = to[:len(at)]
	for i, k := range at {
		if k < 0 {
			to[i] = other
			continue
		}
		to[i] = int32(binary.LittleEndian.Uint32(data[4*k:]))
	}
}

func readLongs(to []int64, data []byte, at []int, other int64) {
	to = to[:len(at)]
	for i, k := range at {
		if k < 0 {
			to[i] = other
			continue
		}
		to[i] = int64(binary.LittleEndian.Uint64(data[8*k:]))
	}
}

func writeFloats(d DType) func(data []byte, at []int, x []float32) {
	switch d {
	case BF16:
		return writeBF16
	case F32:
		return writeF32
	}
	width := d.Bytes()
	return func(data []byte, at []int, x []float32) {
		for i, k := range at {
			switch {
			case k < 0:
			case width == 1:
				data[k] = e4m3Bits(x[i])
			default:
				binary.LittleEndian.PutUint16(data[2*k:], halfBits(x[i]))
			}
		}
	}
}

func writeBF16(data []byte, at []int, x []float32) {
	x = x[:len(at)]
	for i, k := range at {
		if k >= 0 {
			binary.LittleEndian.PutUint16(data[2*k:], formats.BF16FromFloat32(x[i]))
		}
	}
}

func writeF32(data []byte, at []int, x []float32) {
	x = x[:len(at)]
	for i, k := range at {
		if k >= 0 {
			binary.LittleEndian.PutUint32(data[4*k:], math.Float32bits(x[i]))
		}
	}
}

func writeBytes(data []byte, at []int, x []int32) {
	x = x[:len(at)]
	for i, k := range at {
		if k >= 0 {
			data[k] = byte(x[i])
		}
	}
}

func writeInts(data []byte, at []int, x []int32) {
	x = x[:len(at)]
	for i, k := range at {
		if k >= 0 {
			binary.LittleEndian.PutUint32(data[4*k:], uint32(x[i]))
		}
	}
}

func writeLongs(data []byte, at []int, x []int64) {
	x = x[:len(at)]
	for i, k := range at {
		if k >= 0 {
			binary.LittleEndian.PutUint64(data[8*k:], uint64(x[i]))
		}
	}
}
