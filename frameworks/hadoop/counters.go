package hadoop

import (
	"cmp"
	"slices"
)

// CounterGroup is a job's counters of one kind.
type CounterGroup struct {
	Name     string    `json:"name"`
	Counters []Counter `json:"counters"`
}

// Counter is a number that a job has counted.
type Counter struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// CounterGroups are a job's counters under Hadoop's names, and then those that its commands have reported by
// reporter:counter: lines, by group and name.
func (r Result) CounterGroups() []CounterGroup {
	if r.groups != nil {
		return r.groups
	}
	c := r.Counters
	return append([]CounterGroup{
		{"Job Counters", []Counter{
			{"Launched map tasks", int64(r.LaunchedMaps)},
			{"Launched reduce tasks", int64(r.LaunchedReduces)},
			{"Failed tasks", int64(r.FailedAttempts)},
			{"Lost tasks", int64(r.LostAttempts)},
			{"Speculative tasks", int64(r.SpeculativeAttempts)},
			{"Reduces started before the last map was done", int64(r.EarlyReduces)},
		}},
		{"Map-Reduce Framework", []Counter{
			{"Map input records", c.InputRecords},
			{"Map output records", c.MapOutputRecords},
			{"Map output bytes", c.MapOutputBytes},
			{"Combine input records", c.CombineInputRecords},
			{"Combine output records", c.CombineOutputRecords},
			{"Spilled Records", c.SpilledRecords},
			{"Shuffled Maps", c.ShuffledMaps},
			{"Reduce shuffle bytes", c.ShuffleBytes},
			{"Reduce input groups", c.ReduceGroups},
			{"Reduce input records", c.ReduceInputRecords},
			{"Reduce output records", r.reduceOutputRecords()},
		}},
		{"File Input Format Counters", []Counter{{"Bytes Read", c.InputBytes}}},
		{"File Output Format Counters", []Counter{{"Bytes Written", c.OutputBytes}}},
	}, r.own...)
}

// reduceOutputRecords are what reduces printed: none if there were none.
func (r Result) reduceOutputRecords() int64 {
	if r.Reduces == 0 {
		return 0
	}
	return r.Counters.OutputRecords
}

// groupCounters sorts counters by group and name.
func groupCounters(counters map[[2]string]int64) []CounterGroup {
	byGroup := map[string][]Counter{}
	for key, value := range counters {
		byGroup[key[0]] = append(byGroup[key[0]], Counter{key[1], value})
	}
	var groups []CounterGroup
	for name, list := range byGroup {
		slices.SortFunc(list, func(a, b Counter) int { return cmp.Compare(a.Name, b.Name) })
		groups = append(groups, CounterGroup{name, list})
	}
	slices.SortFunc(groups, func(a, b CounterGroup) int { return cmp.Compare(a.Name, b.Name) })
	return groups
}
