package main

import (
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strconv"

	"github.com/stoa-project/stoa/frameworks/hadoop/mr"
)

// samplesPerSeed is how many points of the unit square a line of pi's input stands for.
const samplesPerSeed = 100_000

// tally is how many points there were, and how many of them in the circle.
type tally struct{ Hits, All int64 }

func tallyUp(tallies iter.Seq[tally]) (sum tally) {
	for t := range tallies {
		sum.Hits += t.Hits
		sum.All += t.All
	}
	return sum
}

// pi estimates π by random points: each line of the input is a seed.
func pi() mr.Job[struct{}, tally] {
	return mr.Job[struct{}, tally]{
		Name: "pi", Key: mr.None{}, Value: mr.JSON[tally]{},
		Map: func(line []byte, emit func(struct{}, tally)) error {
			seed, err := strconv.ParseUint(string(line), 10, 64)
			if err != nil {
				return fmt.Errorf("%q is no seed: wanted is a whole number on each line", line)
			}
			random, t := rand.New(rand.NewPCG(seed, 0)), tally{All: samplesPerSeed}
			for range samplesPerSeed {
				if x, y := random.Float64(), random.Float64(); x*x+y*y < 1 {
					t.Hits++
				}
			}
			emit(struct{}{}, t)
			return nil
		},
		Combine: func(_ struct{}, tallies iter.Seq[tally], emit func(tally)) error {
			emit(tallyUp(tallies))
			return nil
		},
		Reduce: func(_ struct{}, tallies iter.Seq[tally], out io.Writer) error {
			sum := tallyUp(tallies)
			_, err := fmt.Fprintf(out, "%.6f\n", 4*float64(sum.Hits)/float64(sum.All))
			return err
		},
	}
}
