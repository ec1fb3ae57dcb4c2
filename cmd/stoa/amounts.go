package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/stoa-project/stoa/proto/mesos"
)

// amounts are resources as Mesos's /state shows them to programs: cpus, mem, disk and gpus always, as numbers; ranges
// and sets as text. Reservations are summed up.
type amounts map[string]any

func newAmounts(resources []*mesos.Resource) amounts {
	shown := amounts{"cpus": 0.0, "mem": 0.0, "disk": 0.0, "gpus": 0.0}
	texts := map[string][]string{}
	for _, resource := range resources {
		name := resource.GetName()
		switch resource.GetType() {
		case mesos.Value_SCALAR:
			sum, _ := shown[name].(float64)
			shown[name] = sum + resource.GetScalar().GetValue()
		case mesos.Value_RANGES:
			for _, r := range resource.GetRanges().GetRange() {
				texts[name] = append(texts[name], fmt.Sprintf("%d-%d", r.GetBegin(), r.GetEnd()))
			}
		case mesos.Value_SET:
			texts[name] = append(texts[name], resource.GetSet().GetItem()...)
		}
	}
	for name, parts := range texts {
		sort.Strings(parts)
		shown[name] = "[" + strings.Join(parts, ", ") + "]"
	}
	return shown
}

// number shows a scalar as people write it: 2, 0.5, 1024.
func (a amounts) number(name string) string {
	value, _ := a[name].(float64)
	return strconv.FormatFloat(float64(int64(value*1000+0.5))/1000, 'f', -1, 64)
}

// used shows two amounts as part of whole: 0.5/2.
func used(part, whole amounts, name string) string {
	return part.number(name) + "/" + whole.number(name)
}
