package task

// Partition says which of n reduces gets the records of a key: FNV-1a of the key's bytes (64 bits, offset basis
// 14695981039346656037, prime 1099511628211), its halves folded by exclusive or, modulo n. It never changes, so that
// equal jobs have equal parts. It panics unless n is positive.
func Partition(key []byte, n int) int {
	if n == 1 {
		return 0
	}
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return int((uint32(h>>32) ^ uint32(h)) % uint32(n)) //nolint:gosec // n is a count of reduces
}
