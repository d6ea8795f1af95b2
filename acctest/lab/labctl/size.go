package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a flag's number of bytes, plain or with a suffix K, M or G, in powers of 1024.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Set parses a size. It refuses negative ones, and those beyond what a file can have.
func (s *size) Set(text string) error {
	digits := strings.TrimRight(text, "KMG")
	shift := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30}
	bits, known := shift[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64>>bits {
		return fmt.Errorf("%q is no size: want a number of bytes, or one with K, M or G after it", text)
	}
	*s = size(n << bits)
	return nil
}
