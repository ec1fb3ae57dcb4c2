package main

import (
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

func newWeight(std stdio) *cobra.Command {
	return group("weight", "How much roles count when resources are shared", groupLook, newWeightSet(std))
}

func newWeightSet(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "set ROLE WEIGHT",
		Short: "Give a role its weight; 1 is the default",
		Long:  `Gives a role its weight: one of weight 2 gets twice as much as its neighbours of weight 1. 'stoa role list' shows weights.`,
		Example: `  stoa weight set eng 2
  stoa weight set eng/web 0.5`,
		Args: twoArgs("role", "weight"),
		RunE: func(command *cobra.Command, args []string) error {
			weight, err := strconv.ParseFloat(args[1], 64)
			if err != nil || !(weight > 0) {
				return usageError("weight %q: it must be a number above 0", args[1])
			}
			view := struct {
				Role   string  `json:"role"`
				Weight float64 `json:"weight"`
			}{args[0], weight}
			call := &masterpb.Call{Type: masterpb.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: &masterpb.Call_UpdateWeights{
				WeightInfos: []*mesos.WeightInfo{{Role: proto.String(args[0]), Weight: proto.Float64(weight)}},
			}}
			return flags.change(command.Context(), std, call, view, "Role %s has the weight %v.", args[0], weight)
		},
	}
	flags.add(command.Flags())
	return withSettings(command)
}
