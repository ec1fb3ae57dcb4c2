package task

// FNV-1a's constants for 64 bits.
const (
	partitionBasis = uint64(14695981039346656037)
	partitionPrime = 1099511628211
)

// Partition says which of n reduces gets the records of a key: FNV-1a of the key's bytes (64 bits, offset basis
// 14695981039346656037, prime 1099511628211), its halves folded by exclusive or, modulo n. It never changes, so that
// equal jobs have equal parts. It panics unless n is positive.
func Partition(key []byte, n int) int {
	if n == 1 {
		return 0
	}
	return foldHash(addToHash(partitionBasis, key), n)
}

func addToHash(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * partitionPrime
	}
	return h
}

func foldHash(h uint64, n int) int {
	return int((uint32(h>>32) ^ uint32(h)) % uint32(n)) //nolint:gosec // n is a count of reduces
}
