// Mapreduce is some MapReduce jobs of typed functions in one program:
//
//	go build ./docs/examples/mapreduce
//	./mapreduce wordcount -input /usr/share/doc -output /tmp/words
//	./mapreduce grep 'GPL-[0-9]' -input /usr/share/doc -output /tmp/licenses
//	./mapreduce sort -input access.log -output /tmp/sorted -numReduceTasks 4
//	./mapreduce index -input /usr/share/doc -output /tmp/index
//	./mapreduce pi -input seeds -inputformat nline -output /tmp/pi    # seeds: a number on each line
//	./mapreduce teragen -input ranges -output /tmp/tera               # ranges: lines as 3000000 1000000: from, how many
//	./mapreduce terasort -input /tmp/tera -output /tmp/terasorted -numReduceTasks 4
//	./mapreduce teravalidate -input /tmp/terasorted -output /tmp/validated
package main

import (
	"fmt"
	"os"
	"regexp"
)

func main() {
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	jobs := map[string]func(args []string) int{
		"wordcount":    wordCount().Main,
		"sort":         sortLines().Main,
		"index":        invertedIndex().Main,
		"pi":           pi().Main,
		"teragen":      teraGen().Main,
		"terasort":     teraSort().Main,
		"teravalidate": teraValidate().Main,
	}
	switch run := jobs[name]; {
	case run != nil:
		os.Exit(run(os.Args[2:]))
	case name == "grep" && len(os.Args) > 2:
		pattern, err := regexp.Compile(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(grep(pattern).Main(os.Args[3:]))
	}
	fmt.Fprintln(os.Stderr, "usage: mapreduce wordcount|grep PATTERN|sort|index|pi|teragen|terasort|teravalidate -input PATH -output DIR")
	os.Exit(2)
}
