package cpu

import "math"

// rankKey packs a score and its place so that larger keys come first in a ranking: by score, equal scores
// by lower place. Both zeros rank equal.
func rankKey(score float32, place int) uint64 {
	u := math.Float32bits(score + 0) // -0 + 0 is +0
	if u>>31 != 0 {
		u = ^u
	} else {
		u |= 1 << 31
	}
	return uint64(u)<<32 | uint64(^uint32(place))
}

// keyIndex is the place that a key was made for.
func keyIndex(key uint64) int32 { return int32(^uint32(key)) }

// offer keeps the k largest keys seen in heap, whose smallest is at the root.
func offer(heap []uint64, key uint64, k int) []uint64 {
	if len(heap) < k {
		heap = append(heap, key)
		for i := len(heap) - 1; i > 0 && heap[i] < heap[(i-1)/2]; i = (i - 1) / 2 {
			heap[i], heap[(i-1)/2] = heap[(i-1)/2], heap[i]
		}
		return heap
	}
	if k == 0 || key <= heap[0] {
		return heap
	}
	heap[0] = key
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < k && heap[child+1] < heap[child] {
			child++
		}
		if child >= k || heap[i] <= heap[child] {
			return heap
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}
