package mr

import (
	"bytes"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
)

// benchBytes is how much text is counted.
const benchBytes = 64 << 20

// benchText is text of 50,000 words that are as unevenly frequent as words are.
func benchText() []byte {
	random := rand.New(rand.NewPCG(3, 4))
	words := make([]string, 50_000)
	for i := range words {
		word := make([]byte, 2+random.IntN(10))
		for j := range word {
			word[j] = 'a' + byte(random.IntN(26))
		}
		words[i] = string(word)
	}
	zipf := rand.NewZipf(random, 1.1, 4, uint64(len(words)-1))
	text := make([]byte, 0, benchBytes+100)
	for len(text) < benchBytes {
		text = append(append(text, words[zipf.Uint64()]...), ' ')
		if random.IntN(10) == 0 {
			text[len(text)-1] = '\n'
		}
	}
	return text
}

// BenchmarkMapper counts the words of 64 MB in a typed mapper. x-floor is its time as a multiple of that of tr, sort and
// uniq -c on the same bytes in the same run.
func BenchmarkMapper(b *testing.B) {
	text := benchText()
	floor := time.Now()
	cmd := exec.Command("/bin/sh", "-c", `tr -cs a-z '\n' | sort | uniq -c >/dev/null`)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(text)
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	floorTime := time.Since(floor)
	job := Job[[]byte, int64]{
		Key: Bytes{}, Value: Int{},
		Map: func(line []byte, emit func([]byte, int64)) error {
			for word := range bytes.FieldsSeq(line) {
				emit(word, 1)
			}
			return nil
		},
		Combine: func(_ []byte, counts iter.Seq[int64], emit func(int64)) error {
			total := int64(0)
			for n := range counts {
				total += n
			}
			emit(total)
			return nil
		},
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := task.MapLines(job.functions(), Split{}, bytes.NewReader(text), func(_, _ []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	perOp := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(perOp)/float64(floorTime), "x-floor")
	b.Logf("%d MB: pipeline %v, mapper %v", benchBytes>>20, floorTime.Round(time.Millisecond), perOp.Round(time.Millisecond))
}
